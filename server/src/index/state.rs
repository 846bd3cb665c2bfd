//! The state of the index, and its transitions. Each transition returns the keys of the targets that it concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    autoscalers::{AutoscalerKey, Autoscalers},
    intern::Interner,
    snapshot::{KindState, TargetSnapshot},
};
use crate::resources::{GroupKind, ReplicaCountState, TargetKey, TargetKind, TargetState, Uid};

/// Everything that the index knows.
#[derive(Default)]
pub(super) struct IndexState {
    targets: BTreeMap<TargetKey, Arc<TargetState>>,
    replica_counts: BTreeMap<TargetKey, Arc<ReplicaCountState>>,
    /// The number of `ReplicaCount` objects that name each kind.
    in_use: BTreeMap<GroupKind, usize>,
    kinds: BTreeMap<GroupKind, KindState>,
    autoscalers: Autoscalers,
    interner: Interner,
    /// Receives the events of managed targets, if this replica leads.
    pub(super) enforcement: Option<mpsc::UnboundedSender<TargetSnapshot>>,
}

impl IndexState {
    /// Takes a snapshot of one target.
    pub(super) fn snapshot(&self, key: &TargetKey, at: Timestamp) -> TargetSnapshot {
        TargetSnapshot {
            key: key.clone(),
            count: self.replica_counts.get(key).cloned(),
            target: self.targets.get(key).cloned(),
            kind: self.kinds.get(&key.kind).cloned().unwrap_or_default(),
            autoscaler: self.autoscalers.first_of(key),
            at,
        }
    }

    pub(super) fn is_managed(&self, key: &TargetKey) -> bool {
        self.replica_counts.contains_key(key)
    }

    /// Stores a target, or removes it. An older state of the same object changes nothing: a list may be behind a watch.
    pub(super) fn set_target(&mut self, mut key: TargetKey, target: Option<TargetState>) -> TargetKey {
        let known = self.targets.get(&key).map(|known| (&known.uid, known.resource_version));
        match target {
            Some(target) if is_older(known, &target.uid, target.resource_version) => {}
            Some(mut target) => {
                self.interner.intern_key(&mut key);
                self.interner.intern_target(&mut target);
                self.targets.insert(key.clone(), Arc::new(target));
            }
            None => drop(self.targets.remove(&key)),
        }
        key
    }

    /// Stores a `ReplicaCount`, or removes it. Also returns whether this changes the set of the kinds in use.
    pub(super) fn set_replica_count(
        &mut self,
        mut key: TargetKey,
        count: Option<ReplicaCountState>,
    ) -> (TargetKey, bool) {
        let (was_managed, is_managed) = (self.is_managed(&key), count.is_some());
        let known = self.replica_counts.get(&key).map(|known| (&known.uid, known.resource_version));
        match count {
            Some(count) if is_older(known, &count.uid, count.resource_version) => {}
            Some(count) => {
                self.interner.intern_key(&mut key);
                self.replica_counts.insert(key.clone(), Arc::new(count));
            }
            None => drop(self.replica_counts.remove(&key)),
        }
        let users = self.in_use.entry(key.kind.clone()).or_default();
        let before = *users;
        *users = before + usize::from(is_managed) - usize::from(was_managed);
        let is_changed = (before == 0) != (*users == 0);
        if *users == 0 {
            self.in_use.remove(&key.kind);
        }
        (key, is_changed)
    }

    /// Stores what an autoscaler scales, or removes it.
    pub(super) fn set_autoscaler(&mut self, autoscaler: AutoscalerKey, target: Option<TargetKey>) -> Vec<TargetKey> {
        self.autoscalers.set(autoscaler, target)
    }

    /// Stores the state of a kind. Forgets the targets of a kind that is no longer watched.
    pub(super) fn set_kind(&mut self, kind: &GroupKind, now: KindState) -> BTreeSet<TargetKey> {
        if self.has_kind_state(kind, &now) {
            return BTreeSet::new();
        }
        let is_of_kind = |key: &&TargetKey| key.kind == *kind;
        let mut changed: BTreeSet<_> = self.replica_counts.keys().filter(is_of_kind).cloned().collect();
        if !matches!(now, KindState::Watched(_)) {
            changed.extend(self.targets.keys().filter(is_of_kind).cloned());
            self.targets.retain(|key, _| key.kind != *kind);
        }
        self.kinds.insert(kind.clone(), now);
        changed
    }

    pub(super) fn has_kind_state(&self, kind: &GroupKind, state: &KindState) -> bool {
        self.kinds.get(kind) == Some(state)
    }

    /// A kind, if it is watched.
    pub(super) fn kind(&self, kind: &GroupKind) -> Option<Arc<TargetKind>> {
        self.kinds.get(kind).and_then(watched)
    }

    /// The kinds that are watched.
    pub(super) fn kinds(&self) -> Vec<Arc<TargetKind>> {
        self.kinds.values().filter_map(watched).collect()
    }

    /// The kinds that a `ReplicaCount` names.
    pub(super) fn kinds_in_use(&self) -> BTreeSet<GroupKind> {
        self.in_use.keys().cloned().collect()
    }

    /// The known targets of a kind.
    pub(super) fn targets_of(&self, kind: &GroupKind) -> BTreeSet<TargetKey> {
        self.targets.keys().filter(|key| key.kind == *kind).cloned().collect()
    }

    /// The targets that have a `ReplicaCount`.
    pub(super) fn managed(&self) -> BTreeSet<TargetKey> {
        self.replica_counts.keys().cloned().collect()
    }

    /// The known autoscalers.
    pub(super) fn autoscalers(&self) -> BTreeSet<AutoscalerKey> {
        self.autoscalers.keys()
    }

    /// The keys of one namespace or of all, in order, beginning after a key. Without `all_targets` they are those of
    /// the managed targets. With it they are those of all known targets, and of `ReplicaCount` objects without a
    /// target.
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
        let is_within = move |key: &&TargetKey| namespace.is_none_or(|namespace| *key.namespace == *namespace);
        let managed = self.replica_counts.range::<TargetKey, _>(range).map(|(key, _)| key);
        let targets = self.targets.range::<TargetKey, _>(range).map(|(key, _)| key);
        let mut managed = managed.take_while(is_within).peekable();
        let mut targets = targets.take_while(is_within).peekable();
        std::iter::from_fn(move || {
            if !all_targets {
                return managed.next();
            }
            match (managed.peek(), targets.peek()) {
                (Some(one), Some(other)) if one == other => {
                    targets.next();
                    managed.next()
                }
                (Some(one), Some(other)) if one > other => targets.next(),
                (None, _) => targets.next(),
                _ => managed.next(),
            }
        })
    }
}

/// Whether a state is an older one of a known object. One without a resource version is not.
fn is_older(known: Option<(&Uid, u64)>, uid: &Uid, version: u64) -> bool {
    known.is_some_and(|(known_uid, known_version)| known_uid == uid && (1..known_version).contains(&version))
}

fn watched(state: &KindState) -> Option<Arc<TargetKind>> {
    match state {
        KindState::Watched(kind) => Some(kind.clone()),
        _ => None,
    }
}
