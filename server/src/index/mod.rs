//! What the watches know: every target of the kinds in use, every `ReplicaCount`, and every autoscaler.
//!
//! [`kinds`] decides what is watched, [`feeds`] fills the cache. The controller hears of every event of a managed target,
//! in order; readers of the API take snapshots and may subscribe to what follows.

mod autoscalers;
pub mod discovery;
#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod fuzz;
mod intern;
pub mod kinds;
pub mod protobuf;
mod state;
mod sync_state;
pub mod watch_handlers;
mod watch_loop;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, watch};

pub(crate) use self::state::now;
pub use self::{
    autoscalers::Autoscaler,
    kinds::{KindState, Unavailable},
};
use self::{autoscalers::AutoscalerKey, state::State, sync_state::SyncState};
use crate::{
    resources::{GroupKind, ReplicaCountState, TargetKey, TargetKind, TargetState},
    telemetry::Watches,
};

/// How many events a subscriber may lag behind before it must start over: a burst, and a few MiB at most for all.
const SUBSCRIBER_BACKLOG: usize = 4096;

/// What is known of one target at one moment.
#[derive(Clone, Debug)]
pub struct TargetSnapshot {
    /// The target.
    pub key: TargetKey,
    /// Its `ReplicaCount`, if it is managed.
    pub count: Option<Arc<ReplicaCountState>>,
    /// Its state, if it exists.
    pub target: Option<Arc<TargetState>>,
    /// Whether its kind is watched: only then does it mean anything that there is no target.
    pub kind: KindState,
    /// The name of a HorizontalPodAutoscaler that scales it.
    pub autoscaler: Option<Arc<str>>,
    /// When this became known.
    pub at: Timestamp,
}

/// One of the watches that feed the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The `ReplicaCount` objects.
    Counts,
    /// The autoscalers.
    Autoscalers,
    /// The targets of one kind.
    Targets(GroupKind),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts => f.write_str("ReplicaCount"),
            Self::Autoscalers => f.write_str("HorizontalPodAutoscaler"),
            Self::Targets(kind) => kind.fmt(f),
        }
    }
}

/// The cache. Shared by reference; every method takes its lock for a moment only.
pub struct Index {
    state: Mutex<State>,
    sync_state: SyncState,
    in_use: watch::Sender<BTreeSet<GroupKind>>,
    subscribers: broadcast::Sender<TargetSnapshot>,
    watches: Watches,
}

/// A page of a listing.
pub struct Page {
    /// The entries.
    pub entries: Vec<TargetSnapshot>,
    /// The last key of the page, if more follow.
    pub next: Option<TargetKey>,
}

impl Default for Index {
    /// An empty cache, which waits for the `ReplicaCount` objects, the autoscalers, and the kinds that are always watched.
    fn default() -> Self {
        let kinds = kinds::always().map(|kind| Source::Targets(kind.group_kind));
        Self {
            state: Mutex::default(),
            sync_state: SyncState::new(kinds.chain([Source::Counts, Source::Autoscalers]).collect()),
            in_use: watch::Sender::default(),
            subscribers: broadcast::Sender::new(SUBSCRIBER_BACKLOG),
            watches: Watches::default(),
        }
    }
}

impl Index {
    /// The same, which tells what becomes of its watches.
    pub fn counting(watches: Watches) -> Self {
        Self { watches, ..Self::default() }
    }

    /// Whether every watch that is always there has delivered its first list, or has been refused it.
    pub fn is_synced(&self) -> bool {
        self.sync_state.is_synced()
    }

    /// Waits until [`Index::is_synced`].
    pub async fn synced(&self) {
        self.sync_state.synced().await;
    }

    /// The newest resource version among the `ReplicaCount` objects.
    pub fn version(&self) -> u64 {
        self.sync_state.version()
    }

    /// Waits until the cache has a resource version of a `ReplicaCount`; false if it has not within the time.
    pub async fn reaches(&self, version: u64, within: Duration) -> bool {
        self.sync_state.reaches(version, within).await
    }

    /// A watch that has been failing for a while, if there is one.
    pub fn stalled(&self) -> Option<Source> {
        self.sync_state.stalled()
    }

    /// The kinds that a `ReplicaCount` names, as they change.
    pub fn kinds_in_use(&self) -> watch::Receiver<BTreeSet<GroupKind>> {
        self.in_use.subscribe()
    }

    /// A kind, if its targets are known.
    pub fn kind(&self, kind: &GroupKind) -> Option<Arc<TargetKind>> {
        match self.lock().kinds.get(kind) {
            Some(KindState::Watched(kind)) => Some(kind.clone()),
            _ => None,
        }
    }

    /// The kinds whose targets are known.
    pub fn kinds(&self) -> Vec<Arc<TargetKind>> {
        let state = self.lock();
        let watched = state.kinds.values().filter_map(|state| match state {
            KindState::Watched(kind) => Some(kind.clone()),
            _ => None,
        });
        watched.collect()
    }

    /// Every event from now on.
    pub fn changes(&self) -> broadcast::Receiver<TargetSnapshot> {
        self.subscribers.subscribe()
    }

    /// What is known of one target.
    pub fn get(&self, key: &TargetKey) -> TargetSnapshot {
        self.lock().seen(key, now())
    }

    /// Lists what a filter selects after a key, in order of the keys: the managed targets, or all; of one namespace, or of
    /// every one.
    pub fn list(
        &self,
        all_targets: bool,
        namespace: Option<&str>,
        after: Option<&TargetKey>,
        limit: usize,
        select: impl Fn(&TargetSnapshot) -> bool,
    ) -> Page {
        let (state, now) = (self.lock(), now());
        let mut selected =
            state.keys(all_targets, namespace, after).map(|key| state.seen(key, now)).filter(|seen| select(seen));
        let entries: Vec<_> = selected.by_ref().take(limit).collect();
        let more = selected.next().is_some();
        let next = entries.last().filter(|_| more).map(|last| last.key.clone());
        Page { entries, next }
    }

    /// Everything that is known now, and every event from then on.
    pub fn subscribe(&self, all_targets: bool) -> (Vec<TargetSnapshot>, broadcast::Receiver<TargetSnapshot>) {
        let (state, now) = (self.lock(), now());
        let snapshot = state.keys(all_targets, None, None).map(|key| state.seen(key, now)).collect();
        (snapshot, self.subscribers.subscribe())
    }

    /// Everything that is managed now, and every event of a managed target from then on, none left out.
    pub fn attach_controller(&self) -> (Vec<TargetSnapshot>, mpsc::UnboundedReceiver<TargetSnapshot>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (mut state, now) = (self.lock(), now());
        state.controller = Some(sender);
        let snapshot = state.keys(false, None, None).map(|key| state.seen(key, now)).collect();
        (snapshot, receiver)
    }

    fn set_target(&self, mut key: TargetKey, target: Option<TargetState>) {
        let mut state = self.lock();
        match target {
            Some(mut target) => {
                state.shared.share_key(&mut key);
                state.shared.share_target(&mut target);
                state.targets.insert(key.clone(), Arc::new(target));
            }
            None => drop(state.targets.remove(&key)),
        }
        let managed = state.counts.contains_key(&key);
        self.publish(&state, &key, managed);
    }

    fn set_count(&self, mut key: TargetKey, count: Option<ReplicaCountState>, version: u64) {
        let mut state = self.lock();
        if count.is_some() {
            state.shared.share_key(&mut key);
        }
        if state.set_count(&key, count.map(Arc::new)) {
            self.in_use.send_replace(state.kinds_in_use());
        }
        self.publish(&state, &key, true);
        drop(state);
        self.sync_state.advance(version);
    }

    fn set_autoscaler(&self, autoscaler: AutoscalerKey, target: Option<TargetKey>) {
        let mut state = self.lock();
        for key in state.autoscalers.set(autoscaler, target) {
            let managed = state.counts.contains_key(&key);
            self.publish(&state, &key, managed);
        }
    }

    /// Records whether the targets of a kind are known. Where they are not, those that were are forgotten. All at once:
    /// nobody hears that a target is gone while its kind still counts as known.
    fn set_kind(&self, kind: &GroupKind, now: KindState) {
        let mut state = self.lock();
        if state.kinds.get(kind) == Some(&now) {
            return;
        }
        let of_kind = |key: &&TargetKey| key.kind == *kind;
        let mut changed: BTreeSet<_> = state.counts.keys().filter(of_kind).cloned().collect();
        if !matches!(now, KindState::Watched(_)) {
            changed.extend(state.targets.keys().filter(of_kind).cloned());
            state.targets.retain(|key, _| key.kind != *kind);
        }
        state.kinds.insert(kind.clone(), now);
        for key in changed {
            let managed = state.counts.contains_key(&key);
            self.publish(&state, &key, managed);
        }
    }

    /// The targets of a kind.
    fn targets_of(&self, kind: &GroupKind) -> BTreeSet<TargetKey> {
        self.lock().targets.keys().filter(|key| key.kind == *kind).cloned().collect()
    }

    /// The targets that have a `ReplicaCount`.
    fn managed(&self) -> BTreeSet<TargetKey> {
        self.lock().counts.keys().cloned().collect()
    }

    fn autoscalers(&self) -> BTreeSet<AutoscalerKey> {
        self.lock().autoscalers.keys()
    }

    /// Sends while the lock is held, so that subscribers see events in the order of the changes.
    fn publish(&self, state: &State, key: &TargetKey, managed: bool) {
        if managed && let Some(controller) = &state.controller {
            // The receiver is gone while another replica leads.
            let _ = controller.send(state.seen(key, now()));
        }
        if self.subscribers.receiver_count() > 0 {
            let _ = self.subscribers.send(state.seen(key, now()));
        }
    }

    /// No code panics while it holds the lock; were it so, each map on its own would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{ReplicaCount, ReplicaCountSpec, ScaleTargetRef};

    fn key(name: &str) -> TargetKey {
        TargetKey::new("shop", "", "", name).unwrap()
    }

    fn count(name: &str) -> ReplicaCountState {
        let scale_target_ref =
            ScaleTargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() };
        let spec = ReplicaCountSpec {
            scale_target_ref,
            replicas: 3,
            original_replicas: None,
            reason: String::new(),
            override_: None,
        };
        ReplicaCount::new(&key(name).replica_count_name(), spec).into()
    }

    fn index() -> Index {
        let index = Index::default();
        for name in ["a", "b", "d"] {
            index.set_target(key(name), Some(TargetState::default()));
        }
        for (version, name) in ["b", "c"].into_iter().enumerate() {
            index.set_count(key(name), Some(count(name)), version as u64 + 1);
        }
        index
    }

    fn names(page: &Page) -> Vec<&str> {
        page.entries.iter().map(|seen| &*seen.key.name).collect()
    }

    #[test]
    fn a_list_holds_the_managed_targets_or_all_in_pages() {
        let index = index();
        assert_eq!(names(&index.list(false, None, None, 10, |_| true)), ["b", "c"]);
        let first = index.list(true, None, None, 3, |_| true);
        assert_eq!(names(&first), ["a", "b", "c"]);
        let second = index.list(true, None, first.next.as_ref(), 3, |_| true);
        assert_eq!(names(&second), ["d"]);
        assert_eq!(second.next, None);
    }

    #[test]
    fn a_page_that_ends_with_the_last_selected_entry_has_no_next() {
        let page = index().list(true, None, None, 1, |seen| &*seen.key.name == "b");
        assert_eq!((names(&page), page.next.clone()), (vec!["b"], None));
    }

    #[test]
    fn one_namespace_is_listed_by_itself() {
        let index = index();
        let [before, after] = ["shoo", "shop-2"].map(|namespace| TargetKey::new(namespace, "", "", "x").unwrap());
        for key in [&before, &after] {
            index.set_target(key.clone(), Some(TargetState::default()));
        }
        let first = index.list(true, Some("shop"), Some(&before), 2, |_| true);
        assert_eq!((names(&first), first.next.as_ref()), (vec!["a", "b"], Some(&key("b"))));
        let second = index.list(true, Some("shop"), first.next.as_ref(), 10, |_| true);
        assert_eq!((names(&second), second.next.as_ref()), (vec!["c", "d"], None));
        assert!(index.list(true, Some("shop"), Some(&after), 10, |_| true).entries.is_empty());
    }

    #[test]
    fn the_controller_hears_of_managed_targets_only() {
        let index = index();
        let (snapshot, mut events) = index.attach_controller();
        assert_eq!(snapshot.len(), 2);
        index.set_target(key("a"), None);
        index.set_target(key("b"), None);
        index.set_count(key("b"), None, 7);
        let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .map(|seen| (seen.key.name.to_string(), seen.count.is_some(), seen.target.is_some()))
            .collect();
        assert_eq!(heard, [("b".to_owned(), true, false), ("b".to_owned(), false, false)]);
        assert_eq!(index.version(), 7);
    }

    #[test]
    fn a_list_after_a_gap_is_compared_with_all_of_its_kind() {
        let index = index();
        let other = TargetKey { kind: TargetKind::apps()[1].group_kind.clone(), ..key("e") };
        index.set_target(other, Some(TargetState::default()));
        assert_eq!(index.targets_of(&key("a").kind), ["a", "b", "d"].map(key).into());
        assert_eq!(index.managed(), ["b", "c"].map(key).into());
    }

    #[test]
    fn it_is_synced_when_every_source_that_is_always_there_is() {
        let index = index();
        let stateful_set = Source::Targets(TargetKind::apps()[1].group_kind.clone());
        for source in [Source::Counts, Source::Autoscalers, Source::Targets(key("a").kind), stateful_set] {
            assert!(!index.is_synced());
            index.sync_state.mark_synced(&source);
        }
        assert!(index.is_synced());
    }

    #[test]
    fn the_controller_hears_of_managed_targets_when_their_kind_or_autoscaler_changes() {
        let index = index();
        let (_, mut events) = index.attach_controller();
        let kind = Arc::new(TargetKind::apps()[0].clone());
        index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
        index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
        let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|seen| seen.kind).collect();
        assert_eq!(heard, [KindState::Watched(kind.clone()), KindState::Watched(kind.clone())], "once for b and c");
        for target in ["a", "b"] {
            index.set_autoscaler(("shop".into(), target.into()), Some(key(target)));
        }
        let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|seen| seen.autoscaler).collect();
        assert_eq!(heard, [Some("b".into())]);
        index.set_kind(&kind.group_kind, KindState::Unlisted);
        assert!(index.get(&key("a")).target.is_none(), "what is not watched is not known");
    }

    #[test]
    fn the_kinds_in_use_are_those_that_a_count_names() {
        let index = index();
        let in_use = index.kinds_in_use();
        assert_eq!(*in_use.borrow(), BTreeSet::from([key("a").kind]));
        index.set_count(key("b"), None, 8);
        assert_eq!(in_use.borrow().len(), 1);
        index.set_count(key("c"), None, 9);
        index.set_count(key("c"), None, 10);
        assert!(in_use.borrow().is_empty());
    }
}
