//! The maps behind the cache's lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{KindState, Seen, autoscalers::Autoscalers};
use crate::api::{GroupKind, ReplicaCount, TargetKey, TargetState};

/// Everything that is known.
#[derive(Default)]
pub(super) struct State {
    pub(super) targets: BTreeMap<TargetKey, TargetState>,
    pub(super) counts: BTreeMap<TargetKey, Arc<ReplicaCount>>,
    /// How many `ReplicaCount` objects name each kind.
    in_use: BTreeMap<GroupKind, usize>,
    pub(super) kinds: BTreeMap<GroupKind, KindState>,
    pub(super) autoscalers: Autoscalers,
    pub(super) controller: Option<mpsc::UnboundedSender<Seen>>,
}

impl State {
    /// What is known of one target.
    pub(super) fn seen(&self, key: &TargetKey) -> Seen {
        Seen {
            key: key.clone(),
            count: self.counts.get(key).cloned(),
            target: self.targets.get(key).cloned(),
            kind: self.kinds.get(&key.kind).cloned().unwrap_or_default(),
            autoscaler: self.autoscalers.of(key),
        }
    }

    /// Takes in a `ReplicaCount`, or that there is none; true if that makes a kind one in use, or no longer.
    pub(super) fn set_count(&mut self, key: &TargetKey, count: Option<Arc<ReplicaCount>>) -> bool {
        let (before, after) = (self.counts.contains_key(key), count.is_some());
        match count {
            Some(count) => self.counts.insert(key.clone(), count),
            None => self.counts.remove(key),
        };
        let users = self.in_use.entry(key.kind.clone()).or_default();
        let had = *users;
        *users = had + usize::from(after) - usize::from(before);
        let changed = (had == 0) != (*users == 0);
        if *users == 0 {
            self.in_use.remove(&key.kind);
        }
        changed
    }

    /// The kinds that a `ReplicaCount` names.
    pub(super) fn kinds_in_use(&self) -> BTreeSet<GroupKind> {
        self.in_use.keys().cloned().collect()
    }

    /// The keys after one, in order: of the managed targets, or of all targets and the counts without one.
    pub(super) fn keys(&self, all_targets: bool, after: Option<&TargetKey>) -> impl Iterator<Item = &TargetKey> {
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut counts = self.counts.range::<TargetKey, _>(range).map(|(key, _)| key).peekable();
        let mut targets = self.targets.range::<TargetKey, _>(range).map(|(key, _)| key).peekable();
        std::iter::from_fn(move || {
            if !all_targets {
                return counts.next();
            }
            match (counts.peek(), targets.peek()) {
                (Some(count), Some(target)) if count == target => {
                    targets.next();
                    counts.next()
                }
                (Some(count), Some(target)) if count > target => targets.next(),
                (None, _) => targets.next(),
                _ => counts.next(),
            }
        })
    }
}
