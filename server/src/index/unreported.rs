//! The states of `ReplicaCount` objects whose changes no status shows yet. The leader writes them into the status within
//! moments. If it is lost, the next leader has them from here: each replica watches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use crate::resources::{ReplicaCountState, TargetKey};

/// How many states of one `ReplicaCount` are kept: a status lists as many changes.
const MAX_STATES: usize = 20;

/// A state of a `ReplicaCount`, with another spec than the state before.
#[derive(Clone, Debug)]
pub struct UnreportedState {
    /// The state.
    pub count: Arc<ReplicaCountState>,
    /// When this replica saw it.
    pub at: Timestamp,
}

/// The states of all `ReplicaCount` objects that no status shows yet, each target's the oldest first.
#[derive(Default)]
pub(super) struct Unreported(BTreeMap<TargetKey, VecDeque<UnreportedState>>);

impl Unreported {
    /// Takes in a new state, and forgets those that its status shows.
    pub(super) fn add(&mut self, key: &TargetKey, count: &Arc<ReplicaCountState>, at: Timestamp) {
        let observed = count.status.observed_generation;
        let is_unreported = |state: &ReplicaCountState| state.uid == count.uid && state.generation > observed;
        let mut states = self.0.remove(key).unwrap_or_default();
        states.retain(|state| is_unreported(&state.count));
        let is_known = states.back().is_some_and(|last| last.count.generation == count.generation);
        if is_unreported(count) && !is_known {
            states.push_back(UnreportedState { count: count.clone(), at });
        }
        if states.len() > MAX_STATES {
            states.pop_front();
        }
        if !states.is_empty() {
            self.0.insert(key.clone(), states);
        }
    }

    pub(super) fn remove(&mut self, key: &TargetKey) {
        self.0.remove(key);
    }

    /// All states.
    pub(super) fn all(&self) -> BTreeMap<TargetKey, Vec<UnreportedState>> {
        self.0.iter().map(|(key, states)| (key.clone(), states.iter().cloned().collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::fixtures::{ReplicaCountBuilder, deployment_key};

    #[test]
    fn a_state_is_kept_until_a_status_shows_it() {
        let (key, at) = (deployment_key("web"), Timestamp::UNIX_EPOCH);
        let state = |generation: i64, observed: i64| {
            let count = ReplicaCountBuilder::new("web").generation(generation);
            Arc::new(count.status(json!({"observedGeneration": observed, "drifts": 0})).state())
        };
        let mut unreported = Unreported::default();
        for (name, generation, observed, expected) in [
            ("reported", 1, 1, vec![]),
            ("a change", 2, 1, vec![2]),
            ("an annotation", 2, 1, vec![2]),
            ("another change", 3, 1, vec![2, 3]),
            ("a status of the first", 3, 2, vec![3]),
            ("a change before the status of the one before", 4, 2, vec![3, 4]),
            ("a status of both", 4, 4, vec![]),
        ] {
            unreported.add(&key, &state(generation, observed), at);
            let all = unreported.all();
            let kept = all.get(&key).into_iter().flatten().filter_map(|state| state.count.generation);
            assert_eq!(kept.collect::<Vec<_>>(), expected, "{name}");
        }
        for generation in 5..50 {
            unreported.add(&key, &state(generation, 4), at);
        }
        let all = unreported.all();
        assert_eq!(all[&key].len(), MAX_STATES);
        assert_eq!(all[&key].last().and_then(|last| last.count.generation), Some(49), "the oldest go first");
        unreported.remove(&key);
        assert!(unreported.all().is_empty());
    }
}
