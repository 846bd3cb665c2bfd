//! The maps behind the cache's lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{KindState, TargetSnapshot, autoscalers::Autoscalers, intern::Shared};
use crate::resources::{GroupKind, ReplicaCountState, TargetKey, TargetState};

/// Everything that is known.
#[derive(Default)]
pub(super) struct State {
    pub(super) targets: BTreeMap<TargetKey, Arc<TargetState>>,
    pub(super) counts: BTreeMap<TargetKey, Arc<ReplicaCountState>>,
    /// How many `ReplicaCount` objects name each kind.
    in_use: BTreeMap<GroupKind, usize>,
    pub(super) kinds: BTreeMap<GroupKind, KindState>,
    pub(super) autoscalers: Autoscalers,
    pub(super) shared: Shared,
    pub(super) controller: Option<mpsc::UnboundedSender<TargetSnapshot>>,
}

/// The time, as exact as a status can hold it: more would make what comes back another than what was sent.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

impl State {
    /// What is known of one target, at this moment.
    pub(super) fn seen(&self, key: &TargetKey, at: Timestamp) -> TargetSnapshot {
        TargetSnapshot {
            key: key.clone(),
            count: self.counts.get(key).cloned(),
            target: self.targets.get(key).cloned(),
            kind: self.kinds.get(&key.kind).cloned().unwrap_or_default(),
            autoscaler: self.autoscalers.of(key),
            at,
        }
    }

    /// Takes in a `ReplicaCount`, or that there is none; true if that makes a kind one in use, or no longer.
    pub(super) fn set_count(&mut self, key: &TargetKey, count: Option<Arc<ReplicaCountState>>) -> bool {
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

    /// The keys of a namespace, or of all, after one, in order: of the managed targets, or of all targets and the counts
    /// without one.
    pub(super) fn keys<'a>(
        &'a self,
        all_targets: bool,
        namespace: Option<&'a str>,
        after: Option<&TargetKey>,
    ) -> impl Iterator<Item = &'a TargetKey> {
        let first = namespace.map(TargetKey::first_in);
        let start = match (&first, after) {
            (Some(first), after) if after.is_none_or(|after| after < first) => Bound::Included(first),
            (_, Some(after)) => Bound::Excluded(after),
            _ => Bound::Unbounded,
        };
        let range = (start, Bound::Unbounded);
        let within = move |key: &&TargetKey| namespace.is_none_or(|namespace| *key.namespace == *namespace);
        let mut counts = self.counts.range::<TargetKey, _>(range).map(|(key, _)| key).take_while(within).peekable();
        let mut targets = self.targets.range::<TargetKey, _>(range).map(|(key, _)| key).take_while(within).peekable();
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
