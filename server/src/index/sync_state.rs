//! How far the watches have come, and which of them fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::Source;

/// How long a watch may fail before this replica is not ready: longer than the API server's restart takes.
const STALLED: Duration = Duration::from_secs(20);

/// Failures further apart than this have nothing to do with each other: more than the longest pause between attempts,
/// with the time that an attempt may take.
const STREAK: Duration = Duration::from_secs(15);

/// The state of the watches, to be waited for.
pub(super) struct SyncState {
    /// The watches that are always there. Others come and go, and concern only those who use them.
    essential: BTreeSet<Source>,
    state: watch::Sender<State>,
    /// When each watch began to fail and failed last, for those that have failed at all.
    failures: Mutex<BTreeMap<Source, (Instant, Instant)>>,
}

#[derive(Clone, Debug)]
struct State {
    /// The watches whose first list is not complete.
    waiting: BTreeSet<Source>,
    /// The newest resource version among the `ReplicaCount` objects.
    counts_version: u64,
}

impl SyncState {
    /// Waits for the first list of each of these, and tells whether one of them fails.
    pub(super) fn new(waiting: BTreeSet<Source>) -> Self {
        Self {
            essential: waiting.clone(),
            state: watch::Sender::new(State { waiting, counts_version: 0 }),
            failures: Mutex::default(),
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.state.borrow().waiting.is_empty()
    }

    pub(super) async fn synced(&self) {
        // The sender lives in self, so the channel cannot close.
        let _ = self.state.subscribe().wait_for(|state| state.waiting.is_empty()).await;
    }

    pub(super) fn mark_synced(&self, source: &Source) {
        self.state.send_if_modified(|state| state.waiting.remove(source));
    }

    pub(super) fn version(&self) -> u64 {
        self.state.borrow().counts_version
    }

    pub(super) fn advance(&self, version: u64) {
        self.state.send_if_modified(|state| {
            let newer = version > state.counts_version;
            state.counts_version = state.counts_version.max(version);
            newer
        });
    }

    /// Waits until a version is reached; false if it is not within the time.
    pub(super) async fn reaches(&self, version: u64, within: Duration) -> bool {
        let mut state = self.state.subscribe();
        let reached = state.wait_for(|state| state.counts_version >= version);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    /// A watch that has been failing for a while, if there is one.
    pub(super) fn stalled(&self) -> Option<Source> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = |since: &Instant, last: &Instant| last.elapsed() < STREAK && since.elapsed() > STALLED;
        failures.iter().find(|(_, (since, last))| stalled(since, last)).map(|(source, _)| source.clone())
    }

    /// Records that a watch failed. A watch that works says nothing of it, so a failure counts as over once no further one
    /// has followed for longer than the pause between two attempts.
    pub(super) fn note_failure(&self, source: &Source) {
        if !self.essential.contains(source) {
            return;
        }
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, last) = failures.entry(source.clone()).or_insert((now, now));
        if last.elapsed() > STREAK {
            *since = now;
        }
        *last = now;
    }
}
