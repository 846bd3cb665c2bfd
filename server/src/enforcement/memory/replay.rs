//! The states of a `ReplicaCount` that this replica watched before its term began.

use std::sync::Arc;

use jiff::Timestamp;

use super::Memory;
use crate::{
    enforcement::{changes::changes, contention::Contention, observation::Observation},
    index::UnreportedState,
    resources::{ObservedSpec, ReplicaCountState},
};

impl Memory {
    /// Records the changes that these states show, the oldest first. No status shows them yet, because the leader before
    /// was lost.
    pub fn replay(&mut self, observation: &Observation, states: Vec<UnreportedState>) {
        let newest = observation.count.generation;
        for UnreportedState { count, at } in states {
            if count.uid != observation.count.uid || count.generation <= self.generation || count.generation > newest {
                continue;
            }
            let then = Observation { count, at, ..observation.clone() };
            for change in changes(&then, self, then.count.desired(at)) {
                self.history.add_change(change);
            }
            self.contention = Contention::default();
            self.record_spec(&then.count, at);
        }
    }

    /// Remembers the spec and who wrote it.
    pub(super) fn record_spec(&mut self, count: &Arc<ReplicaCountState>, at: Timestamp) {
        let spec = ObservedSpec::from(&count.spec);
        if self.spec.as_ref() != Some(&spec) {
            self.spec = Some(spec);
        }
        self.generation = count.generation;
        self.latest_writer = Some(count.writers.latest.clone());
        self.set_at = count.set_at;
        self.desired = count.desired(at);
    }
}
