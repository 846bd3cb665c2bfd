//! The state of the index, and its transitions. Each transition returns the keys of the targets that it concerns.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    autoscalers::{AutoscalerKey, Autoscalers, is_spelling_of},
    intern::Interner,
    kinds::Kinds,
    objects::Objects,
    snapshot::{KindState, Page, Replaced, Scope, TargetSnapshot, now},
    unreported::Unreported,
};
use crate::resources::{GroupKind, ReplicaCountState, TargetKey, TargetKind, TargetState, Uid};

/// Whether a target is left out unless it is managed: a ReplicaSet with a controller. Every Deployment keeps up to ten
/// old ones (`revisionHistoryLimit`), and no count of them can be held.
fn is_left_out(key: &TargetKey, target: &TargetState) -> bool {
    target.controller.is_some() && key.kind.is_replica_set()
}

/// Everything that the index knows.
#[derive(Default)]
pub(super) struct IndexState {
    targets: Objects<Arc<TargetState>>,
    replica_counts: Objects<Arc<ReplicaCountState>>,
    kinds: Kinds,
    /// The kinds whose first `ReplicaCount` has come or whose last one has gone, until somebody takes them.
    changed_kinds: BTreeSet<GroupKind>,
    /// The ReplicaSets that were left out until a `ReplicaCount` named them, or do not exist, until somebody takes them.
    pub(super) missing_replica_sets: BTreeSet<TargetKey>,
    autoscalers: Autoscalers,
    interner: Interner,
    /// What no leader has written into a status yet.
    pub(super) unreported: Unreported,
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
            replaced: None,
        }
    }

    pub(super) fn is_managed(&self, key: &TargetKey) -> bool {
        self.replica_counts.contains(key)
    }

    /// Stores a target, or removes it. Also returns what this replaces. An older state of the same object changes
    /// nothing, and replaces nothing: a list may be behind a watch.
    pub(super) fn set_target(&mut self, mut key: TargetKey, target: Option<TargetState>) -> (TargetKey, Replaced) {
        let known = self.targets.get(&key);
        let replaced = match target {
            Some(target)
                if is_older(
                    known.map(|known| (&known.uid, known.resource_version)),
                    &target.uid,
                    target.resource_version,
                ) =>
            {
                return (key, Replaced::Neither);
            }
            Some(target) if is_left_out(&key, &target) && !self.is_managed(&key) => self.targets.remove(&key),
            Some(mut target) => {
                self.interner.intern_key(&mut key);
                self.interner.intern_target(&mut target);
                self.targets.insert(key.clone(), Arc::new(target))
            }
            None => self.targets.remove(&key),
        };
        (key, Replaced::Target(replaced))
    }

    /// Stores a `ReplicaCount`, or removes it. Also returns what this replaces, and whether it is the first of its kind or
    /// was the last.
    pub(super) fn set_replica_count(
        &mut self,
        mut key: TargetKey,
        count: Option<ReplicaCountState>,
    ) -> (TargetKey, Replaced, bool) {
        let was_in_use = self.is_in_use(&key.kind);
        let known = self.replica_counts.get(&key);
        let replaced = match count {
            Some(count)
                if is_older(
                    known.map(|known| (&known.uid, known.resource_version)),
                    &count.uid,
                    count.resource_version,
                ) =>
            {
                return (key, Replaced::Neither, false);
            }
            Some(mut count) => {
                self.interner.intern_key(&mut key);
                self.interner.intern_replica_count(&mut count);
                let count = Arc::new(count);
                self.unreported.add(&key, &count, now());
                if key.kind.is_replica_set() && !self.is_managed(&key) && !self.targets.contains(&key) {
                    self.missing_replica_sets.insert(key.clone());
                }
                self.replica_counts.insert(key.clone(), count)
            }
            None => {
                if self.targets.get(&key).is_some_and(|target| is_left_out(&key, target)) {
                    self.targets.remove(&key);
                }
                self.unreported.remove(&key);
                self.missing_replica_sets.remove(&key);
                self.replica_counts.remove(&key)
            }
        };
        let is_changed = self.is_in_use(&key.kind) != was_in_use;
        if is_changed {
            self.changed_kinds.insert(key.kind.clone());
        }
        (key, Replaced::Count(replaced), is_changed)
    }

    /// Stores what an autoscaler scales, or removes it. The kind of the target is as it is written. A managed target of
    /// a kind that is not known has no other spelling: the controller of autoscalers could not resolve it either.
    pub(super) fn set_autoscaler(
        &mut self,
        autoscaler: AutoscalerKey,
        target: Option<TargetKey>,
    ) -> BTreeSet<TargetKey> {
        let mut concerned = BTreeSet::new();
        for written in self.autoscalers.set(autoscaler, target) {
            let known = self.kinds.known().map(|(_, kind)| &kind.group_kind);
            let known = known.filter(|kind| is_spelling_of(&written.kind, kind));
            concerned.extend(known.map(|kind| TargetKey { kind: kind.clone(), ..written.clone() }));
            if self.is_managed(&written) {
                concerned.insert(written);
            }
        }
        concerned
    }

    /// Stores the states of kinds. Forgets the targets of a kind that is no longer watched, and an unlisted kind
    /// altogether. Also returns what this replaces.
    pub(super) fn set_kinds(&mut self, mut now: BTreeMap<GroupKind, KindState>) -> BTreeMap<TargetKey, Replaced> {
        now.retain(|kind, state| *state == KindState::Unlisted || !self.has_kind_state(kind, state));
        let mut changed = BTreeMap::new();
        for (kind, state) in now {
            changed.extend(self.replica_counts.keys_of(&kind).map(|key| (key.clone(), Replaced::Neither)));
            if state.known().is_none() {
                let forgotten = self.targets.remove_kind(&kind).into_iter();
                changed.extend(forgotten.map(|(key, target)| (key, Replaced::Target(Some(target)))));
            }
            self.kinds.set(kind, state);
        }
        changed
    }

    pub(super) fn has_kind_state(&self, kind: &GroupKind, state: &KindState) -> bool {
        self.kinds.get(kind) == Some(state)
    }

    /// A kind, if it is watched.
    pub(super) fn kind(&self, kind: &GroupKind) -> Option<Arc<TargetKind>> {
        self.kinds.get(kind).and_then(KindState::known).cloned()
    }

    /// The kinds whose targets are known, with their states.
    pub(super) fn known_kinds(&self) -> impl Iterator<Item = (&KindState, &Arc<TargetKind>)> {
        self.kinds.known()
    }

    /// Whether a `ReplicaCount` names a kind.
    pub(super) fn is_in_use(&self, kind: &GroupKind) -> bool {
        self.replica_counts.has_kind(kind)
    }

    /// Takes some of the kinds that have come into use or gone out of it, and whether they are in use now.
    pub(super) fn take_changed_kinds(&mut self, most: usize) -> Vec<(GroupKind, bool)> {
        let taken: Vec<_> = std::iter::from_fn(|| self.changed_kinds.pop_first()).take(most).collect();
        taken.into_iter().map(|kind| (kind.clone(), self.is_in_use(&kind))).collect()
    }

    /// The known targets of a kind.
    pub(super) fn targets_of(&self, kind: &GroupKind) -> BTreeSet<TargetKey> {
        self.targets.keys_of(kind).cloned().collect()
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
        let is_within = move |key: &&TargetKey| namespace.is_none_or(|namespace| *key.namespace == *namespace);
        let managed = self.replica_counts.starting_at(start).map(|(key, _)| key);
        let targets = self.targets.starting_at(start).map(|(key, _)| key);
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
