//! A target of the walk.

use kube::core::ApiResource;

use super::{forms::Form, model::Held};

/// The count that the policy of [`Admission::Refuses`] refuses.
pub(super) const REFUSED: i32 = 4;

/// The count to which the policy of [`Admission::Raises`] raises a smaller one.
pub(super) const LEAST: i32 = 2;

/// What admission does to the counts of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Nothing.
    Allows,
    /// It raises each count below [`LEAST`].
    Raises,
    /// It refuses [`REFUSED`].
    Refuses,
}

/// The HorizontalPodAutoscaler of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Autoscaler {
    /// There is none.
    Absent,
    /// There is one of this name.
    Exists(String),
    /// The latest step has deleted it.
    Gone,
}

/// A target, and what the walk expects of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) admission: Admission,
    pub(super) form: Form,
    pub(super) resource: ApiResource,
    pub(super) autoscaler: Autoscaler,
    pub(super) held: Option<Held>,
    /// Its count.
    pub(super) observed: i32,
}

impl Target {
    pub(super) fn new(name: String, admission: Admission, form: Form, resource: ApiResource, observed: i32) -> Self {
        Self { name, admission, form, resource, autoscaler: Autoscaler::Absent, held: None, observed }
    }

    /// The name of its ReplicaCount.
    pub(super) fn count_name(&self) -> String {
        let (kind, group) = (self.resource.kind.to_lowercase(), &self.resource.group);
        let group = if group == "apps" { String::new() } else { format!("{group}.") };
        format!("{kind}.{group}{}", self.name)
    }

    /// The name of its autoscaler.
    pub(super) fn autoscaled_by(&self) -> Option<&str> {
        match &self.autoscaler {
            Autoscaler::Exists(name) => Some(name),
            Autoscaler::Absent | Autoscaler::Gone => None,
        }
    }

    /// Why the desired count is not in place: the reason of `Ready`.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        let desired = self.held.as_ref()?.desired();
        match self.admission {
            Admission::Raises if desired < LEAST => Some("CountChangedByAdmission"),
            Admission::Refuses if desired == REFUSED => Some("CorrectionFailed"),
            _ => None,
        }
    }

    /// The count that the API server has after a write of this one.
    pub(super) fn stored(&self, count: i32) -> i32 {
        match self.admission {
            Admission::Raises => count.max(LEAST),
            Admission::Refuses if count == REFUSED => self.observed,
            _ => count,
        }
    }

    /// The server has put the desired count in place, as far as admission lets it.
    pub(super) fn put_in_place(&mut self) {
        if let Some(held) = &self.held {
            self.observed = self.stored(held.desired());
        }
    }

    /// Whether somebody may write this count to cause one drift that is corrected at once.
    pub(super) fn can_drift_to(&self, count: i32) -> bool {
        let is_fast = self.held.as_ref().is_none_or(|held| held.contention.is_fast());
        self.trouble().is_none() && count != self.observed && self.stored(count) == count && is_fast
    }
}
