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
    snapshot::{KindState, Page, Replaced, Scope, TargetSnapshot, now},
};
use crate::resources::{GroupKind, ReplicaCountState, TargetKey, TargetKind, TargetState};

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

    /// Stores a target, or removes it. Also returns what this replaces.
    pub(super) fn set_target(&mut self, mut key: TargetKey, target: Option<TargetState>) -> (TargetKey, Replaced) {
        let replaced = match target {
            Some(mut target) => {
                self.interner.intern_key(&mut key);
                self.interner.intern_target(&mut target);
                self.targets.insert(key.clone(), Arc::new(target))
            }
            None => self.targets.remove(&key),
        };
        (key, Replaced::Target(replaced))
    }

    /// Stores a `ReplicaCount`, or removes it. Also returns what this replaces, and whether it changes the set of the
    /// kinds in use.
    pub(super) fn set_replica_count(
        &mut self,
        mut key: TargetKey,
        count: Option<ReplicaCountState>,
    ) -> (TargetKey, Replaced, bool) {
        let (was_managed, is_managed) = (self.is_managed(&key), count.is_some());
        let replaced = match count {
            Some(count) => {
                self.interner.intern_key(&mut key);
                self.replica_counts.insert(key.clone(), Arc::new(count))
            }
            None => self.replica_counts.remove(&key),
        };
        let users = self.in_use.entry(key.kind.clone()).or_default();
        let before = *users;
        *users = before + usize::from(is_managed) - usize::from(was_managed);
        let is_changed = (before == 0) != (*users == 0);
        if *users == 0 {
            self.in_use.remove(&key.kind);
        }
        (key, Replaced::Count(replaced), is_changed)
    }

    /// Stores what an autoscaler scales, or removes it.
    pub(super) fn set_autoscaler(&mut self, autoscaler: AutoscalerKey, target: Option<TargetKey>) -> Vec<TargetKey> {
        self.autoscalers.set(autoscaler, target)
    }

    /// Stores the state of a kind. Forgets the targets of a kind that is no longer watched. Also returns what this
    /// replaces.
    pub(super) fn set_kind(&mut self, kind: &GroupKind, now: KindState) -> BTreeMap<TargetKey, Replaced> {
        if self.has_kind_state(kind, &now) {
            return BTreeMap::new();
        }
        let managed = self.replica_counts.keys().filter(|key| key.kind == *kind);
        let mut changed: BTreeMap<_, _> = managed.map(|key| (key.clone(), Replaced::Neither)).collect();
        if !matches!(now, KindState::Watched(_)) {
            let forgotten = self.targets.extract_if(.., |key, _| key.kind == *kind);
            changed.extend(forgotten.map(|(key, target)| (key, Replaced::Target(Some(target)))));
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

    /// Snapshots of the next targets after a key, in the order of their keys.
    pub(super) fn page(&self, scope: Scope<'_>, after: Option<&TargetKey>, limit: usize) -> Page {
        let now = now();
        let mut keys = self.keys(scope, after);
        let entries: Vec<_> = keys.by_ref().take(limit).map(|key| self.snapshot(key, now)).collect();
        let next = keys.next().and(entries.last()).map(|last| last.key.clone());
        Page { entries, next }
    }

    /// The keys of one namespace or of all, in order, beginning after a key. Without `all_targets` they are those of
    /// the managed targets. With it they are those of all known targets, and of `ReplicaCount` objects without a
    /// target.
    pub(super) fn keys<'a>(
        &'a self,
        scope: Scope<'a>,
        after: Option<&TargetKey>,
    ) -> impl Iterator<Item = &'a TargetKey> {
        let Scope { all_targets, namespace } = scope;
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

fn watched(state: &KindState) -> Option<Arc<TargetKind>> {
    match state {
        KindState::Watched(kind) => Some(kind.clone()),
        _ => None,
    }
}
