//! Whether the watches have delivered their first lists, and which of them fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::watch_source::WatchSource;

/// How long a watch can fail before this replica is not ready. This is longer than a restart of the API server takes.
const STALLED: Duration = Duration::from_secs(20);

/// The longest gap between two failures of one streak. It is longer than the longest pause between two attempts (5 s,
/// `watch_loop`) and the time that an attempt takes.
const STREAK: Duration = Duration::from_secs(15);

/// The progress of the watches, for waiters.
pub(super) struct SyncState {
    /// The permanent watches. The other watches concern only the users of their kinds.
    essential: BTreeSet<WatchSource>,
    delivered: watch::Sender<Delivered>,
    /// The beginning of the current streak and the latest failure of each watch that has failed.
    failures: Mutex<BTreeMap<WatchSource, (Instant, Instant)>>,
}

/// What the watches have delivered.
#[derive(Clone, Debug)]
struct Delivered {
    /// The watches whose first list is not complete.
    waiting: BTreeSet<WatchSource>,
    /// The newest resource version of the `ReplicaCount` objects.
    version: u64,
}

impl SyncState {
    /// Waits for the first list of each permanent watch.
    pub(super) fn new(essential: BTreeSet<WatchSource>) -> Self {
        let delivered = Delivered { waiting: essential.clone(), version: 0 };
        Self { essential, delivered: watch::Sender::new(delivered), failures: Mutex::default() }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.delivered.borrow().waiting.is_empty()
    }

    pub(super) async fn synced(&self) {
        // The channel cannot close, because self owns the sender.
        let _ = self.delivered.subscribe().wait_for(|delivered| delivered.waiting.is_empty()).await;
    }

    pub(super) fn mark_synced(&self, source: &WatchSource) {
        self.delivered.send_if_modified(|delivered| delivered.waiting.remove(source));
    }

    pub(super) fn version(&self) -> u64 {
        self.delivered.borrow().version
    }

    pub(super) fn advance(&self, version: u64) {
        self.delivered.send_if_modified(|delivered| {
            let is_newer = version > delivered.version;
            delivered.version = delivered.version.max(version);
            is_newer
        });
    }

    /// Waits for a version. Returns false if it does not come in time.
    pub(super) async fn reaches(&self, version: u64, within: Duration) -> bool {
        let mut delivered = self.delivered.subscribe();
        let reached = delivered.wait_for(|delivered| delivered.version >= version);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    /// A watch that has been failing for a while, if there is one.
    pub(super) fn stalled(&self) -> Option<WatchSource> {
        let failures = self.failures.lock();
        let is_stalled = |since: &Instant, last: &Instant| last.elapsed() < STREAK && since.elapsed() > STALLED;
        failures.iter().find(|(_, (since, last))| is_stalled(since, last)).map(|(source, _)| source.clone())
    }

    /// Records the failure of a watch. A watch that works again records nothing, so a streak ends if no failure follows
    /// within [`STREAK`].
    pub(super) fn record_failure(&self, source: &WatchSource) {
        if !self.essential.contains(source) {
            return;
        }
        let now = Instant::now();
        let mut failures = self.failures.lock();
        let (since, last) = failures.entry(source.clone()).or_insert((now, now));
        if last.elapsed() > STREAK {
            *since = now;
        }
        *last = now;
    }
}
