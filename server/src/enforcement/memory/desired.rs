//! The desired count as it was decided, and the spec that it follows from.

use std::sync::Arc;

use jiff::Timestamp;

use super::Memory;
use crate::resources::{DecidedCount, ObservedSpec, Override, ReplicaCountState};

impl Memory {
    /// The desired count of a state of the `ReplicaCount`.
    pub fn desired_of(&self, count: &ReplicaCountState, at: Timestamp) -> Option<i32> {
        count.desired_after(self.decided(), at)
    }

    /// The override of a state of the `ReplicaCount`, while it is in force.
    pub fn active_override<'a>(&self, count: &'a ReplicaCountState, at: Timestamp) -> Option<&'a Override> {
        count.active_override_after(self.decided(), at)
    }

    fn decided(&self) -> DecidedCount {
        DecidedCount { generation: self.generation, desired: self.desired }
    }

    /// Remembers the spec and who wrote it.
    pub(super) fn record_spec(&mut self, count: &Arc<ReplicaCountState>, at: Timestamp) {
        let desired = self.desired_of(count, at);
        if desired != self.desired {
            self.history.leave_drift();
        }
        let spec = ObservedSpec::from(&count.spec);
        if self.spec.as_ref() != Some(&spec) {
            self.spec = Some(spec);
        }
        self.generation = count.generation;
        self.latest_writer = Some(count.writers.latest.clone());
        self.set_at = count.set_at;
        self.desired = desired;
    }
}
