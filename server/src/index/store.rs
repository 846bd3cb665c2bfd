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
mod tests {
    use super::*;
    use crate::resources::fixtures::{ReplicaCountBuilder, deployment_key as key};

    fn index() -> Index {
        let index = Index::default();
        for name in ["a", "b", "d"] {
            index.set_target(key(name), Some(TargetState::default()));
        }
        for (version, name) in ["b", "c"].into_iter().enumerate() {
            index.set_replica_count(key(name), Some(ReplicaCountBuilder::new(name).state()), version as u64 + 1);
        }
        index
    }

    fn names(page: &Page) -> Vec<&str> {
        page.entries.iter().map(|snapshot| &*snapshot.key.name).collect()
    }

    const MANAGED: Scope<'_> = Scope { all_targets: false, namespace: None };
    const ALL: Scope<'_> = Scope { all_targets: true, namespace: None };

    #[test]
    fn a_page_holds_the_managed_targets_or_all() {
        let index = index();
        let page = |scope, after: Option<&TargetKey>, limit| index.state.lock().page(scope, after, limit);
        assert_eq!(names(&page(MANAGED, None, 10)), ["b", "c"]);
        let first = page(ALL, None, 3);
        assert_eq!(names(&first), ["a", "b", "c"]);
        let second = page(ALL, first.next.as_ref(), 3);
        assert_eq!((names(&second), second.next.as_ref()), (vec!["d"], None));
        assert_eq!(page(ALL, None, 4).next, None, "a page that ends with the last target has no next");
    }

    #[test]
    fn one_hold_of_the_lock_examines_a_bounded_number_of_keys() {
        let index = Index::default();
        for number in 0..=MAX_EXAMINED {
            index.set_target(key(&format!("{number:04}")), Some(TargetState::default()));
        }
        let first = index.page(ALL, None);
        assert_eq!(first.entries.len(), MAX_EXAMINED);
        assert_eq!(index.page(ALL, first.next.as_ref()).entries.len(), 1);
        assert!(index.page(MANAGED, None).entries.is_empty());
    }

    #[test]
    fn one_namespace_is_listed_by_itself() {
        let index = index();
        let [before, after] = ["shoo", "shop-2"].map(|namespace| TargetKey::new(namespace, "", "", "x").unwrap());
        for key in [&before, &after] {
            index.set_target(key.clone(), Some(TargetState::default()));
        }
        let shop = Scope { all_targets: true, namespace: Some("shop") };
        let page = |after: Option<&TargetKey>, limit| index.state.lock().page(shop, after, limit);
        let first = page(Some(&before), 2);
        assert_eq!((names(&first), first.next.as_ref()), (vec!["a", "b"], Some(&key("b"))));
        let second = page(first.next.as_ref(), 10);
        assert_eq!((names(&second), second.next.as_ref()), (vec!["c", "d"], None));
        assert!(page(Some(&after), 10).entries.is_empty());
    }

    #[test]
    fn a_change_says_what_was_before() {
        struct Row {
            name: &'static str,
            change: fn(&Index),
            /// Whether there was a count and a target before and after.
            before: (bool, bool),
            after: (bool, bool),
        }
        for Row { name, change, before, after } in [
            Row {
                name: "a new target",
                change: |index| index.set_target(key("c"), Some(TargetState::default())),
                before: (true, false),
                after: (true, true),
            },
            Row {
                name: "a deleted target",
                change: |index| index.set_target(key("a"), None),
                before: (false, true),
                after: (false, false),
            },
            Row {
                name: "a new ReplicaCount",
                change: |index| {
                    index.set_replica_count(key("a"), Some(ReplicaCountBuilder::new("a").state()), 9);
                },
                before: (false, true),
                after: (true, true),
            },
            Row {
                name: "a deleted ReplicaCount",
                change: |index| index.set_replica_count(key("b"), None, 9),
                before: (true, true),
                after: (false, true),
            },
            Row {
                name: "an autoscaler",
                change: |index| index.set_autoscaler(("shop".into(), "b".into()), Some(key("b"))),
                before: (true, true),
                after: (true, true),
            },
            Row {
                name: "a kind that is not watched any more",
                change: |index| index.set_kind(&key("a").kind, KindState::Unlisted),
                before: (false, true),
                after: (false, false),
            },
        ] {
            let index = index();
            index.set_kind(&key("a").kind, KindState::Watched(Arc::new(TargetKind::apps()[0].clone())));
            let mut events = index.changes();
            change(&index);
            let event = events.try_recv().unwrap();
            let parts = |snapshot: &TargetSnapshot| (snapshot.count.is_some(), snapshot.target.is_some());
            assert_eq!((parts(&event.before()), parts(&event.after)), (before, after), "{name}");
        }
    }

    #[test]
    fn enforcement_receives_events_of_managed_targets_only() {
        let index = index();
        let (snapshots, mut events) = index.attach_enforcement();
        assert_eq!(snapshots.len(), 2);
        index.set_target(key("a"), None);
        index.set_target(key("b"), None);
        index.set_replica_count(key("b"), None, 7);
        let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .map(|event| (event.key, (event.count.is_some(), event.target.is_some())))
            .collect();
        assert_eq!(received, [(key("b"), (true, false)), (key("b"), (false, false))]);
        assert_eq!(index.version(), 7);
    }

    #[test]
    fn an_event_of_a_watch_has_the_version_that_it_replaced() {
        let index = index();
        let target =
            |uid: &str, resource_version| TargetState { uid: uid.into(), resource_version, ..TargetState::default() };
        let count = |uid: &str, resource_version| {
            Some(ReplicaCountState { uid: uid.into(), resource_version, ..ReplicaCountBuilder::new("b").state() })
        };
        index.set_target(key("b"), None);
        index.set_replica_count(key("b"), count("c", 20), 20);
        let (_, mut events) = index.attach_enforcement();
        type Step<'a> = (&'a str, Box<dyn Fn() + 'a>, Option<ReplacedVersion>);
        let steps: [Step<'_>; 10] = [
            (
                "created",
                Box::new(|| index.set_target(key("b"), Some(target("u", 7)))),
                Some(ReplacedVersion::Target(0)),
            ),
            (
                "updated",
                Box::new(|| index.set_target(key("b"), Some(target("u", 9)))),
                Some(ReplacedVersion::Target(7)),
            ),
            ("an older state, which is left out", Box::new(|| index.set_target(key("b"), Some(target("u", 8)))), None),
            ("listed", Box::new(|| index.set_listed_target(key("b"), target("u", 12))), None),
            (
                "another object",
                Box::new(|| index.set_target(key("b"), Some(target("v", 15)))),
                Some(ReplacedVersion::Target(0)),
            ),
            (
                "the ReplicaCount",
                Box::new(|| index.set_replica_count(key("b"), count("c", 21), 21)),
                Some(ReplacedVersion::Count(20)),
            ),
            (
                "an older ReplicaCount, which is left out",
                Box::new(|| index.set_replica_count(key("b"), count("c", 19), 21)),
                None,
            ),
            ("the ReplicaCount, listed", Box::new(|| index.set_replica_count(key("b"), count("c", 22), 0)), None),
            (
                "another ReplicaCount",
                Box::new(|| index.set_replica_count(key("b"), count("d", 23), 23)),
                Some(ReplacedVersion::Count(0)),
            ),
            ("an autoscaler", Box::new(|| index.set_autoscaler(("shop".into(), "b".into()), Some(key("b")))), None),
        ];
        for (name, step, expected) in steps {
            step();
            assert_eq!(events.try_recv().unwrap().replaced, expected, "{name}");
        }
    }

    #[test]
    fn an_older_state_of_the_same_object_changes_nothing() {
        let index = Index::default();
        let stored = |uid: &str, resource_version| {
            let state = TargetState { uid: uid.into(), resource_version, ..TargetState::default() };
            index.set_target(key("a"), Some(state));
            let count =
                ReplicaCountState { uid: uid.into(), resource_version, ..ReplicaCountBuilder::new("a").state() };
            index.set_replica_count(key("a"), Some(count), resource_version);
            let snapshot = index.get(&key("a"));
            (snapshot.target.unwrap().resource_version, snapshot.count.unwrap().resource_version)
        };
        for (name, uid, version, expected) in [
            ("the first", "u", 9, 9),
            ("an older one, which a list is behind with", "u", 8, 9),
            ("numbers are no texts", "u", 10, 10),
            ("the same version", "u", 10, 10),
            ("another object", "v", 7, 7),
            ("without a version", "v", 0, 0),
        ] {
            assert_eq!(stored(uid, version), (expected, expected), "{name}");
        }
        index.set_target(key("a"), None);
        assert!(index.get(&key("a")).target.is_none(), "a deletion has no older state");
    }

    #[test]
    fn a_list_is_compared_with_all_known_targets_of_its_kind() {
        let index = index();
        let other = TargetKey { kind: TargetKind::apps()[1].group_kind.clone(), ..key("e") };
        index.set_target(other, Some(TargetState::default()));
        assert_eq!(index.targets_of(&key("a").kind), ["a", "b", "d"].map(key).into());
        assert_eq!(index.managed(), ["b", "c"].map(key).into());
    }

    #[test]
    fn it_is_synced_when_every_source_that_is_always_there_is() {
        let index = index();
        let stateful_set = WatchSource::Targets(TargetKind::apps()[1].group_kind.clone());
        for source in
            [WatchSource::ReplicaCounts, WatchSource::Autoscalers, WatchSource::Targets(key("a").kind), stateful_set]
        {
            assert!(!index.is_synced());
            index.sync_state.mark_synced(&source);
        }
        assert!(index.is_synced());
    }

    #[test]
    fn enforcement_receives_events_when_the_kind_or_autoscaler_of_a_managed_target_changes() {
        let index = index();
        let (_, mut events) = index.attach_enforcement();
        let kind = Arc::new(TargetKind::apps()[0].clone());
        index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
        index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
        let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.kind).collect();
        assert_eq!(
            received,
            [KindState::Watched(kind.clone()), KindState::Watched(kind.clone())],
            "one event for b and one for c"
        );
        for target in ["a", "b"] {
            index.set_autoscaler(("shop".into(), target.into()), Some(key(target)));
        }
        let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.autoscaler).collect();
        assert_eq!(received, [Some("b".into())]);
        index.set_kind(&kind.group_kind, KindState::Unlisted);
        assert!(index.get(&key("a")).target.is_none(), "the index forgets targets that are not watched");
    }

    #[test]
    fn an_autoscaler_is_an_event_of_the_target_whose_kind_it_writes_in_lower_case() {
        let index = index();
        index.set_kind(&key("b").kind, KindState::Watched(Arc::new(TargetKind::apps()[0].clone())));
        let (_, mut events) = index.attach_enforcement();
        let written = TargetKey { kind: GroupKind::new("deployment", "apps"), ..key("b") };
        for target in [Some(written), None] {
            let expected = target.as_ref().map(|_| Arc::from("hpa"));
            index.set_autoscaler(("shop".into(), "hpa".into()), target);
            let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
            let received: Vec<_> = received.into_iter().map(|event| (event.key, event.autoscaler)).collect();
            assert_eq!(received, [(key("b"), expected)]);
        }
    }

    #[test]
    fn an_autoscaler_is_an_event_of_a_managed_target_of_a_kind_that_is_not_known() {
        let index = index();
        let mut events = index.changes();
        for (name, target, expected) in [("managed", "b", vec![key("b")]), ("not managed", "a", vec![])] {
            index.set_autoscaler(("shop".into(), target.into()), Some(key(target)));
            let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
            let received: Vec<_> = received.iter().map(|event| event.after.key.clone()).collect();
            assert_eq!(received, expected, "{name}");
        }
    }

    #[test]
    fn a_replica_set_with_a_controller_is_kept_only_while_it_is_managed() {
        let index = Index::default();
        let kind = TargetKind::apps()[2].group_kind.clone();
        let [owned, alone] = ["owned", "alone"].map(|name| TargetKey { kind: kind.clone(), ..key(name) });
        let controlled = || TargetState { controller: Some("Deployment web".into()), ..TargetState::default() };
        let is_known = || index.get(&owned).target.is_some();
        index.set_target(alone.clone(), Some(TargetState::default()));
        index.set_target(owned.clone(), Some(controlled()));
        assert!(index.get(&alone).target.is_some() && !is_known());
        index.set_replica_count(owned.clone(), Some(ReplicaCountBuilder::new("x").state()), 1);
        assert_eq!(index.take_missing_replica_sets(), [owned.clone()].into());
        index.set_replica_count(owned.clone(), Some(ReplicaCountBuilder::new("x").version(2).state()), 2);
        assert!(index.take_missing_replica_sets().is_empty(), "it was looked for");
        index.set_target(owned.clone(), Some(controlled()));
        assert!(is_known());
        index.set_replica_count(owned.clone(), None, 3);
        assert!(!is_known());
        index.set_replica_count(owned.clone(), Some(ReplicaCountBuilder::new("x").state()), 4);
        index.set_replica_count(owned.clone(), None, 5);
        assert!(index.take_missing_replica_sets().is_empty(), "it is not managed any more");
        index.set_target(owned.clone(), Some(TargetState::default()));
        assert!(is_known(), "the controller has let go of it");
        index.set_target(owned.clone(), Some(controlled()));
        assert!(!is_known(), "a controller has taken it over");
    }

    #[test]
    fn states_of_many_kinds_reach_their_managed_targets_alone() {
        let index = index();
        let (_, mut events) = index.attach_enforcement();
        let problem = KindState::Unavailable(Arc::new(crate::index::Unavailable {
            reason: "KindNotServed",
            message: String::new(),
        }));
        let widget = GroupKind::new("Widget", "example.com");
        index.set_kinds([(key("b").kind, problem.clone()), (widget.clone(), problem.clone())].into());
        let mut received = || std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.key).collect::<Vec<_>>();
        assert_eq!(received(), [key("b"), key("c")]);
        index.set_kinds([(key("b").kind, problem), (widget, KindState::Unlisted)].into());
        assert_eq!(received(), [], "the same state again is no event");
    }

    #[test]
    fn the_kinds_in_use_are_those_that_a_replica_count_names() {
        let (index, kind) = (index(), key("a").kind);
        let (used, unused) = (Some((kind.clone(), true)), Some((kind, false)));
        let count = |name: &str| Some(ReplicaCountBuilder::new(name).version(11).state());
        struct Row {
            name: &'static str,
            target: &'static str,
            count: Option<ReplicaCountState>,
            changed: Option<(GroupKind, bool)>,
        }
        assert_eq!(index.take_changed_kinds(2), used.clone().into_iter().collect::<Vec<_>>(), "named by two");
        for row in [
            Row { name: "one is left", target: "b", count: None, changed: None },
            Row { name: "none is left", target: "c", count: None, changed: unused },
            Row { name: "gone already", target: "c", count: None, changed: None },
            Row { name: "named again", target: "c", count: count("c"), changed: used },
            Row { name: "by another one too", target: "b", count: count("b"), changed: None },
        ] {
            index.set_replica_count(key(row.target), row.count, 11);
            assert_eq!(index.take_changed_kinds(2), row.changed.into_iter().collect::<Vec<_>>(), "{}", row.name);
        }
    }

    #[test]
    fn changed_kinds_are_taken_in_portions() {
        let index = Index::default();
        let key = |number: usize| TargetKey::new("shop", "example.com", &format!("Kind{number}"), "web").unwrap();
        for number in 0..5 {
            index.set_replica_count(key(number), Some(ReplicaCountBuilder::new("web").state()), 0);
        }
        index.set_replica_count(key(3), None, 0);
        let taken: Vec<_> = (0..4).map(|_| index.take_changed_kinds(2)).collect();
        let kind = |number: usize, is_in_use: bool| (key(number).kind, is_in_use);
        let expected =
            [vec![kind(0, true), kind(1, true)], vec![kind(2, true), kind(3, false)], vec![kind(4, true)], vec![]];
        assert_eq!(taken, expected);
        assert!(index.is_in_use(&key(0).kind) && !index.is_in_use(&key(3).kind));
    }
}
