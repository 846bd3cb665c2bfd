//! The index: its state behind a lock, and the events that follow from each change.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, mpsc, watch};

use super::{
    autoscalers::AutoscalerKey,
    snapshot::{Change, KindState, Page, Replaced, ReplacedVersion, Scope, TargetSnapshot, now},
    state::IndexState,
    sync_state::{MAX_SILENCE, SyncState},
    unreported::UnreportedState,
    watch_health::WatchHealth,
    watch_source::WatchSource,
};
use crate::{
    resources::{GroupKind, ReplicaCountState, TargetKey, TargetKind, TargetState},
    telemetry::Watches,
};

/// How many events a subscriber can lag behind before it must start over. This is enough for a burst of changes. All
/// subscribers share the events: about 250 bytes each, 1 MiB in all, and the states that the events replaced.
const SUBSCRIBER_BACKLOG: usize = 4096;

/// The most keys that a reader examines while it holds the lock. That takes well under a millisecond, and a correction
/// may have to wait for it.
const MAX_EXAMINED: usize = 256;

/// The index. It is shared by reference, and every method holds its lock only for a moment.
pub struct Index {
    state: Mutex<IndexState>,
    pub(super) sync_state: SyncState,
    /// Wakes the reader of the kinds that have come into use or gone out of it.
    pub(super) changed_kinds: Notify,
    subscribers: broadcast::Sender<Arc<Change>>,
    pub(super) watches: Watches,
    pub(super) health: Arc<WatchHealth>,
    /// Wakes the reader of the missing ReplicaSets.
    pub(super) missing_replica_sets: Notify,
}

impl Default for Index {
    /// Builds an empty index without metrics.
    fn default() -> Self {
        Self::new(Watches::default())
    }
}

impl Index {
    /// Builds an empty index with metrics of its watches. It is synced once every permanent watch has delivered its
    /// first list.
    pub(crate) fn new(watches: Watches) -> Self {
        Self {
            state: Mutex::default(),
            sync_state: SyncState::new(WatchSource::permanent().collect()),
            changed_kinds: Notify::new(),
            subscribers: broadcast::Sender::new(SUBSCRIBER_BACKLOG),
            watches,
            health: Arc::default(),
            missing_replica_sets: Notify::new(),
        }
    }

    /// Whether the index knows what it can know: the first list of the `ReplicaCount` objects, and of every other
    /// permanent watch, unless that one fails or is refused.
    pub(crate) fn is_synced(&self) -> bool {
        self.sync_state.is_synced()
    }

    /// Waits until the index is synced.
    pub(crate) async fn synced(&self) {
        self.sync_state.synced().await;
    }

    /// The newest resource version of the `ReplicaCount` objects.
    pub(crate) fn version(&self) -> u64 {
        self.sync_state.version()
    }

    /// Waits until the index has a resource version of the `ReplicaCount` objects. Returns false if it does not have it
    /// in time.
    pub(crate) async fn reaches(&self, version: u64, within: Duration) -> bool {
        self.sync_state.reaches(version, within).await
    }

    /// Whether the watch of the `ReplicaCount` objects has been failing for a while.
    pub(crate) fn is_stalled(&self) -> bool {
        self.sync_state.is_stalled()
    }

    /// Whether the watch of the `ReplicaCount` objects has heard nothing for too long, and the changes of that.
    pub(crate) fn is_blind(&self) -> watch::Receiver<bool> {
        self.sync_state.blind.subscribe()
    }

    /// Whether the index knows all autoscalers, as far as it can tell.
    pub(crate) fn knows_autoscalers(&self) -> bool {
        let source = WatchSource::Autoscalers;
        self.sync_state.has_list(&source) && self.watches.silence(&source) < MAX_SILENCE
    }

    /// Takes some of the kinds that have come into use or gone out of it, and whether they are in use now: whether a
    /// `ReplicaCount` names them.
    pub(super) fn take_changed_kinds(&self, most: usize) -> Vec<(GroupKind, bool)> {
        self.state.lock().take_changed_kinds(most)
    }

    /// Whether a `ReplicaCount` names a kind.
    pub(super) fn is_in_use(&self, kind: &GroupKind) -> bool {
        self.state.lock().is_in_use(kind)
    }

    /// A kind, if the index knows its targets.
    pub(crate) fn kind(&self, kind: &GroupKind) -> Option<Arc<TargetKind>> {
        self.state.lock().kind(kind)
    }

    /// The kinds whose targets the index knows.
    pub(crate) fn kinds(&self) -> Vec<Arc<TargetKind>> {
        self.state.lock().known_kinds().map(|(_, kind)| kind.clone()).collect()
    }

    /// The first known kind that matches.
    pub(crate) fn find_kind(&self, matches: impl Fn(&TargetKind) -> bool) -> Option<Arc<TargetKind>> {
        self.state.lock().known_kinds().map(|(_, kind)| kind).find(|kind| matches(kind)).cloned()
    }

    /// The kinds whose targets the index knows, with their states.
    pub(super) fn kind_states(&self) -> Vec<(KindState, Arc<TargetKind>)> {
        self.state.lock().known_kinds().map(|(state, kind)| (state.clone(), kind.clone())).collect()
    }

    /// Every event from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.subscribers.subscribe()
    }

    /// A snapshot of one target.
    pub(crate) fn get(&self, key: &TargetKey) -> TargetSnapshot {
        self.state.lock().snapshot(key, now())
    }

    /// Reads the next targets after a key, in the order of their keys, as many as one hold of the lock may read.
    /// Readers select among them after it.
    pub(crate) fn page(&self, scope: Scope<'_>, after: Option<&TargetKey>) -> Page {
        self.state.lock().page(scope, after, MAX_EXAMINED)
    }

    /// Like [`page`](Self::page). Also returns how many events are in the subscriber's channel: the page contains these
    /// changes already, and the subscriber receives them first.
    pub(crate) fn page_and_older_events(
        &self,
        scope: Scope<'_>,
        after: Option<&TargetKey>,
        events: &broadcast::Receiver<Arc<Change>>,
    ) -> (Page, usize) {
        let state = self.state.lock();
        // Events are sent under the lock.
        (state.page(scope, after, MAX_EXAMINED), events.len())
    }

    /// Snapshots of the managed targets, and every event of a managed target after them. The channel is unbounded, so
    /// it drops no event.
    pub(crate) fn attach_enforcement(&self) -> (Vec<TargetSnapshot>, mpsc::UnboundedReceiver<TargetSnapshot>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (mut state, now) = (self.state.lock(), now());
        state.enforcement = Some(sender);
        let snapshots = state
            .keys(Scope { all_targets: false, namespace: None }, None)
            .map(|key| state.snapshot(key, now))
            .collect();
        (snapshots, receiver)
    }

    /// The states of `ReplicaCount` objects that no status shows yet, the oldest first.
    pub(crate) fn unreported(&self) -> BTreeMap<TargetKey, Vec<UnreportedState>> {
        self.state.lock().unreported.all()
    }

    /// Stores a target that an event of a watch shows, or removes it.
    pub(super) fn set_target(&self, key: TargetKey, target: Option<TargetState>) {
        let mut state = self.state.lock();
        let uid = target.as_ref().map(|target| target.uid.clone());
        let (key, replaced) = state.set_target(key, target);
        let version = replaced.version(uid.as_ref());
        self.publish(&state, &key, replaced, version, state.is_managed(&key));
    }

    /// Stores a target that was read or listed, or that can be read again. The states between this one and the known one
    /// are unknown.
    pub(super) fn set_listed_target(&self, key: TargetKey, target: TargetState) {
        let mut state = self.state.lock();
        let (key, replaced) = state.set_target(key, Some(target));
        self.publish(&state, &key, replaced, None, state.is_managed(&key));
    }

    /// Stores a `ReplicaCount`, or removes it, and advances the newest resource version. The version is 0 if the object
    /// was listed, or can be read again.
    pub(super) fn set_replica_count(&self, key: TargetKey, count: Option<ReplicaCountState>, version: u64) {
        let mut state = self.state.lock();
        let uid = count.as_ref().map(|count| count.uid.clone());
        let (key, replaced, is_use_changed) = state.set_replica_count(key, count);
        let replaced_version = replaced.version(uid.as_ref()).filter(|_| version > 0);
        if key.kind.is_replica_set() && !state.missing_replica_sets.is_empty() {
            self.missing_replica_sets.notify_one();
        }
        if is_use_changed {
            self.changed_kinds.notify_one();
        }
        // The end of the management is an event of a managed target too.
        self.publish(&state, &key, replaced, replaced_version, true);
        drop(state);
        self.sync_state.advance(version);
    }

    pub(super) fn set_autoscaler(&self, autoscaler: AutoscalerKey, target: Option<TargetKey>) {
        let mut state = self.state.lock();
        for key in state.set_autoscaler(autoscaler, target) {
            self.publish(&state, &key, Replaced::Neither, None, state.is_managed(&key));
        }
    }

    /// Stores whether the targets of a kind are known, and forgets them if they are not. Both happen under one lock, so
    /// no subscriber sees that a target is gone while its kind still counts as known.
    pub(super) fn set_kind(&self, kind: &GroupKind, now: KindState) {
        self.set_kinds(BTreeMap::from([(kind.clone(), now)]));
    }

    /// Stores the states of several kinds, like [`Index::set_kind`].
    pub(super) fn set_kinds(&self, now: BTreeMap<GroupKind, KindState>) {
        let mut state = self.state.lock();
        for (key, replaced) in state.set_kinds(now) {
            self.publish(&state, &key, replaced, None, state.is_managed(&key));
        }
    }

    pub(super) fn has_kind_state(&self, kind: &GroupKind, expected: &KindState) -> bool {
        self.state.lock().has_kind_state(kind, expected)
    }

    /// The known targets of a kind.
    pub(super) fn targets_of(&self, kind: &GroupKind) -> BTreeSet<TargetKey> {
        self.state.lock().targets_of(kind)
    }

    /// Takes the ReplicaSets that were left out until a `ReplicaCount` named them, or do not exist. Each is there once.
    pub(super) fn take_missing_replica_sets(&self) -> BTreeSet<TargetKey> {
        mem::take(&mut self.state.lock().missing_replica_sets)
    }

    /// Adds missing ReplicaSets again.
    pub(super) fn add_missing_replica_sets(&self, keys: Vec<TargetKey>) {
        self.state.lock().missing_replica_sets.extend(keys);
        self.missing_replica_sets.notify_one();
    }

    /// The targets that have a `ReplicaCount`.
    pub(super) fn managed(&self) -> BTreeSet<TargetKey> {
        self.state.lock().managed()
    }

    /// The known autoscalers.
    pub(super) fn autoscalers(&self) -> BTreeSet<AutoscalerKey> {
        self.state.lock().autoscalers()
    }

    /// Sends an event while the lock is held, so that subscribers see events in the order of the changes.
    fn publish(
        &self,
        state: &IndexState,
        key: &TargetKey,
        replaced: Replaced,
        version: Option<ReplacedVersion>,
        is_managed: bool,
    ) {
        if is_managed && let Some(enforcement) = &state.enforcement {
            // The receiver is gone while another replica leads.
            let _ = enforcement.send(TargetSnapshot { replaced: version, ..state.snapshot(key, now()) });
        }
        if self.subscribers.receiver_count() > 0 {
            let _ = self.subscribers.send(Arc::new(Change { replaced, after: state.snapshot(key, now()) }));
        }
    }
}

#[cfg(test)]
mod tests;
