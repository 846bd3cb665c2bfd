//! A target of the walk.

use super::model::Held;

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

/// A Deployment, and what the walk expects of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) admission: Admission,
    pub(super) has_pods: bool,
    pub(super) held: Option<Held>,
    /// Its count.
    pub(super) observed: i32,
}

impl Target {
    pub(super) fn new(name: String, admission: Admission, has_pods: bool, observed: i32) -> Self {
        Self { name, admission, has_pods, held: None, observed }
    }

    /// The name of its ReplicaCount.
    pub(super) fn count_name(&self) -> String {
        format!("deployment.{}", self.name)
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
