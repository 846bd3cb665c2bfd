//! What the watches know: every target of the kinds in use, and every `ReplicaCount`.
//!
//! [`follow`] feeds it. The controller hears of every event of a managed target, in order; readers of the API take
//! snapshots and may subscribe to what follows.

pub mod follow;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{broadcast, mpsc, watch};

use crate::api::{GroupKind, ReplicaCount, TargetKey, TargetState};

/// How many events a subscriber may lag behind before it must start over: a burst, and a few MiB at most for all.
const SUBSCRIBER_BACKLOG: usize = 4096;

/// How long a watch may fail before this replica is not ready: longer than the API server's restart takes.
const STALLED: Duration = Duration::from_secs(20);

/// Failures further apart than this have nothing to do with each other: more than the longest pause between attempts,
/// with the time that an attempt may take.
const STREAK: Duration = Duration::from_secs(15);

/// What is known of one target at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The target.
    pub key: TargetKey,
    /// Its `ReplicaCount`, if it is managed.
    pub count: Option<Arc<ReplicaCount>>,
    /// Its state, if it exists.
    pub target: Option<TargetState>,
}

/// One of the watches that feed the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The `ReplicaCount` objects.
    Counts,
    /// The targets of one kind.
    Targets(GroupKind),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts => f.write_str("ReplicaCount"),
            Self::Targets(kind) => write!(f, "{}.{}", kind.kind, kind.group),
        }
    }
}

/// How far the watches have come.
#[derive(Clone, Debug)]
struct Progress {
    /// The watches whose first list is not complete.
    waiting: BTreeSet<Source>,
    /// The newest resource version among the `ReplicaCount` objects.
    counts_version: u64,
}

#[derive(Default)]
struct State {
    targets: BTreeMap<TargetKey, TargetState>,
    counts: BTreeMap<TargetKey, Arc<ReplicaCount>>,
    controller: Option<mpsc::UnboundedSender<Seen>>,
}

/// The cache. Shared by reference; every method takes its lock for a moment only.
pub struct Cache {
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    /// When each watch began to fail and failed last, for those that have failed at all.
    failures: Mutex<BTreeMap<Source, (Instant, Instant)>>,
    subscribers: broadcast::Sender<Seen>,
}

/// A page of a listing.
pub struct Page {
    /// The entries.
    pub entries: Vec<Seen>,
    /// The last key of the page, if more follow.
    pub next: Option<TargetKey>,
}

impl Cache {
    /// An empty cache of some kinds of targets.
    pub fn new(kinds: impl IntoIterator<Item = GroupKind>) -> Self {
        let waiting = kinds.into_iter().map(Source::Targets).chain([Source::Counts]).collect();
        Self {
            state: Mutex::default(),
            progress: watch::Sender::new(Progress { waiting, counts_version: 0 }),
            failures: Mutex::default(),
            subscribers: broadcast::Sender::new(SUBSCRIBER_BACKLOG),
        }
    }

    /// Whether every watch has delivered its first list.
    pub fn is_synced(&self) -> bool {
        self.progress.borrow().waiting.is_empty()
    }

    /// Waits until every watch has delivered its first list.
    pub async fn synced(&self) {
        // The sender lives in self, so the channel cannot close.
        let _ = self.progress.subscribe().wait_for(|progress| progress.waiting.is_empty()).await;
    }

    /// The newest resource version among the `ReplicaCount` objects.
    pub fn version(&self) -> u64 {
        self.progress.borrow().counts_version
    }

    /// Waits until the cache has a resource version of a `ReplicaCount`; false if it has not within the time.
    pub async fn reaches(&self, version: u64, within: Duration) -> bool {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.counts_version >= version);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    /// A watch that has been failing for a while, if there is one.
    pub fn stalled(&self) -> Option<Source> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = |since: &Instant, last: &Instant| last.elapsed() < STREAK && since.elapsed() > STALLED;
        failures.iter().find(|(_, (since, last))| stalled(since, last)).map(|(source, _)| source.clone())
    }

    /// Records that a watch failed. A watch that works says nothing of it, so a failure counts as over once no further one
    /// has followed for longer than the pause between two attempts.
    fn note_failure(&self, source: &Source) {
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, last) = failures.entry(source.clone()).or_insert((now, now));
        if last.elapsed() > STREAK {
            *since = now;
        }
        *last = now;
    }

    /// Every event from now on.
    pub fn changes(&self) -> broadcast::Receiver<Seen> {
        self.subscribers.subscribe()
    }

    /// What is known of one target.
    pub fn get(&self, key: &TargetKey) -> Seen {
        self.lock().seen(key)
    }

    /// Lists what a filter selects after a key, in order of the keys: the managed targets, or all.
    pub fn list(
        &self,
        all_targets: bool,
        after: Option<&TargetKey>,
        limit: usize,
        select: impl Fn(&Seen) -> bool,
    ) -> Page {
        let state = self.lock();
        let mut selected = state.keys(all_targets, after).map(|key| state.seen(key)).filter(|seen| select(seen));
        let entries: Vec<_> = selected.by_ref().take(limit).collect();
        let more = selected.next().is_some();
        let next = entries.last().filter(|_| more).map(|last| last.key.clone());
        Page { entries, next }
    }

    /// Everything that is known now, and every event from then on.
    pub fn subscribe(&self, all_targets: bool) -> (Vec<Seen>, broadcast::Receiver<Seen>) {
        let state = self.lock();
        let snapshot = state.keys(all_targets, None).map(|key| state.seen(key)).collect();
        (snapshot, self.subscribers.subscribe())
    }

    /// Everything that is managed now, and every event of a managed target from then on, none left out.
    pub fn attach_controller(&self) -> (Vec<Seen>, mpsc::UnboundedReceiver<Seen>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.controller = Some(sender);
        let snapshot = state.keys(false, None).map(|key| state.seen(key)).collect();
        (snapshot, receiver)
    }

    fn set_target(&self, key: TargetKey, target: Option<TargetState>) {
        let mut state = self.lock();
        match target {
            Some(target) => state.targets.insert(key.clone(), target),
            None => state.targets.remove(&key),
        };
        let managed = state.counts.contains_key(&key);
        self.publish(&state, &key, managed);
    }

    fn set_count(&self, key: TargetKey, count: Option<ReplicaCount>, version: u64) {
        let mut state = self.lock();
        match count {
            Some(count) => state.counts.insert(key.clone(), Arc::new(count)),
            None => state.counts.remove(&key),
        };
        self.publish(&state, &key, true);
        drop(state);
        self.advance(version);
    }

    /// Removes the targets of a kind that a complete list did not hold.
    fn retain_targets(&self, kind: &GroupKind, listed: &BTreeSet<TargetKey>) {
        let gone: Vec<_> =
            self.lock().targets.keys().filter(|key| key.kind == *kind && !listed.contains(key)).cloned().collect();
        gone.into_iter().for_each(|key| self.set_target(key, None));
    }

    /// Removes the counts that a complete list did not hold. Only then does the cache hold all up to the list's version:
    /// a list comes in the order of names.
    fn retain_counts(&self, listed: &BTreeSet<TargetKey>, version: u64) {
        let gone: Vec<_> = self.lock().counts.keys().filter(|key| !listed.contains(key)).cloned().collect();
        gone.into_iter().for_each(|key| self.set_count(key, None, 0));
        self.advance(version);
    }

    fn mark_synced(&self, source: &Source) {
        self.progress.send_if_modified(|progress| progress.waiting.remove(source));
    }

    fn advance(&self, version: u64) {
        self.progress.send_if_modified(|progress| {
            let newer = version > progress.counts_version;
            progress.counts_version = progress.counts_version.max(version);
            newer
        });
    }

    /// Sends while the lock is held, so that subscribers see events in the order of the changes.
    fn publish(&self, state: &State, key: &TargetKey, managed: bool) {
        if managed && let Some(controller) = &state.controller {
            // The receiver is gone only once the controller has stopped.
            let _ = controller.send(state.seen(key));
        }
        if self.subscribers.receiver_count() > 0 {
            let _ = self.subscribers.send(state.seen(key));
        }
    }

    /// No code panics while it holds the lock; were it so, each map on its own would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seen(&self, key: &TargetKey) -> Seen {
        Seen { key: key.clone(), count: self.counts.get(key).cloned(), target: self.targets.get(key).cloned() }
    }

    /// The keys after one, in order: of the managed targets, or of all targets and the counts without one.
    fn keys(&self, all_targets: bool, after: Option<&TargetKey>) -> impl Iterator<Item = &TargetKey> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ReplicaCountSpec, ScaleTargetRef};

    fn key(name: &str) -> TargetKey {
        TargetKey::new("shop", "", "", name).unwrap()
    }

    fn count(name: &str) -> ReplicaCount {
        let scale_target_ref =
            ScaleTargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() };
        let spec = ReplicaCountSpec {
            scale_target_ref,
            replicas: 3,
            original_replicas: None,
            reason: String::new(),
            override_: None,
        };
        ReplicaCount::new(&key(name).replica_count_name(), spec)
    }

    fn cache() -> Cache {
        let cache = Cache::new([GroupKind::deployment()]);
        for name in ["a", "b", "d"] {
            cache.set_target(key(name), Some(TargetState::default()));
        }
        for (version, name) in ["b", "c"].into_iter().enumerate() {
            cache.set_count(key(name), Some(count(name)), version as u64 + 1);
        }
        cache
    }

    fn names(page: &Page) -> Vec<&str> {
        page.entries.iter().map(|seen| &*seen.key.name).collect()
    }

    #[test]
    fn a_list_holds_the_managed_targets_or_all_in_pages() {
        let cache = cache();
        assert_eq!(names(&cache.list(false, None, 10, |_| true)), ["b", "c"]);
        let first = cache.list(true, None, 3, |_| true);
        assert_eq!(names(&first), ["a", "b", "c"]);
        let second = cache.list(true, first.next.as_ref(), 3, |_| true);
        assert_eq!(names(&second), ["d"]);
        assert_eq!(second.next, None);
    }

    #[test]
    fn a_page_that_ends_with_the_last_selected_entry_has_no_next() {
        let page = cache().list(true, None, 1, |seen| &*seen.key.name == "b");
        assert_eq!((names(&page), page.next.clone()), (vec!["b"], None));
    }

    #[test]
    fn the_controller_hears_of_managed_targets_only() {
        let cache = cache();
        let (snapshot, mut events) = cache.attach_controller();
        assert_eq!(snapshot.len(), 2);
        cache.set_target(key("a"), None);
        cache.set_target(key("b"), None);
        cache.set_count(key("b"), None, 7);
        let heard: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .map(|seen| (seen.key.name.to_string(), seen.count.is_some(), seen.target.is_some()))
            .collect();
        assert_eq!(heard, [("b".to_owned(), true, false), ("b".to_owned(), false, false)]);
        assert_eq!(cache.version(), 7);
    }

    #[test]
    fn a_list_after_a_gap_removes_what_is_gone() {
        let cache = cache();
        cache.retain_targets(&GroupKind::deployment(), &BTreeSet::from([key("d")]));
        cache.retain_counts(&BTreeSet::from([key("b")]), 9);
        assert_eq!(names(&cache.list(true, None, 10, |_| true)), ["b", "d"]);
        assert_eq!(cache.version(), 9);
    }

    #[test]
    fn it_is_synced_when_every_source_is() {
        let cache = cache();
        cache.mark_synced(&Source::Counts);
        assert!(!cache.is_synced());
        cache.mark_synced(&Source::Targets(GroupKind::deployment()));
        assert!(cache.is_synced());
    }
}
