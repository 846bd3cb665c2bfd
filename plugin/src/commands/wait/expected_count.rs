//! The count that a command waits for, and who works against it.

use contract::replicas::v1::{ReplicaCount, Target};
use jiff::Timestamp;

use crate::{
    output::{actor, count_or_none, printable},
    time::from_proto,
};

/// The count to wait for.
pub(super) struct ExpectedCount {
    pub(super) target: Target,
    /// The drifts before the wait.
    drifts: i64,
    /// In replicas.
    pub(super) desired: Option<i32>,
    /// The end of the count, if it has one.
    until: Option<Timestamp>,
}

impl ExpectedCount {
    pub(super) fn new(count: &ReplicaCount) -> Self {
        let over = count.r#override.as_ref();
        Self {
            target: count.target.clone().unwrap_or_default(),
            drifts: count.drifts,
            desired: count.desired,
            until: over.and_then(|over| over.until.as_ref()).and_then(from_proto),
        }
    }

    /// Describes who has changed the count since, though it was put back.
    pub(super) fn describe_drifts(&self, count: &ReplicaCount) -> Option<String> {
        let drifts = count.drifts.saturating_sub(self.drifts);
        let last = count.last_drift.as_ref().filter(|last| drifts > 0 && last.corrected_at.is_some())?;
        let drifts = if drifts == 1 { "a drift".to_owned() } else { format!("{drifts} drifts") };
        Some(format!("{drifts} during the wait, the last to {} by {}", count_or_none(last.to), actor(last)))
    }

    /// Describes who has set another count since.
    pub(super) fn describe_takeover(&self, count: &ReplicaCount, now: Timestamp) -> Option<String> {
        let (Some(wanted), Some(desired)) = (self.desired, count.desired) else { return None };
        if wanted == desired {
            return None;
        }
        Some(match self.until.filter(|until| *until <= now) {
            Some(_) => format!("is held at {desired} again: the end of the {wanted} has come before they were ready"),
            None => {
                // `set_by` is about the lasting count.
                let is_override = count.r#override.is_some() && count.replicas != Some(desired);
                let by = if count.set_by.is_empty() || is_override { "others" } else { &count.set_by };
                format!("was set to {desired} by {} before its {wanted} were ready", printable(by))
            }
        })
    }
}
