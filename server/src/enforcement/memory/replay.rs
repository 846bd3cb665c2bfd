//! The states of a `ReplicaCount` that this replica watched before its term began.

use super::Memory;
use crate::{
    enforcement::{changes::changes, contention::Contention, observation::Observation},
    index::UnreportedState,
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
            for change in changes(&then, self, self.desired_of(&then.count, at)) {
                self.history.add_change(change);
            }
            self.contention = Contention::default();
            self.record_spec(&then.count, at);
        }
    }
}
