//! Whether the watches have delivered their first lists, and which of them fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::watch_source::WatchSource;

/// How long the watch of the `ReplicaCount` objects can fail before this replica is not ready, and for how long another
/// watch that fails delays the readiness. This is longer than a restart of the API server takes.
const STALLED: Duration = Duration::from_secs(20);

/// The longest gap between two failures of one streak. It is longer than the longest pause between two attempts (5 s,
/// `watch_backoff`) and the time that an attempt takes.
const STREAK: Duration = Duration::from_secs(15);

/// How long a watch may hear nothing. A watch that works hears something within 65 s (`watch_deadlines`), and a new
/// connection after a silent one has the rest. A leader whose watch of the `ReplicaCount` objects is silent for longer
/// does not know what to enforce: it is blind.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(90);

/// The progress of the watches, for waiters.
pub(super) struct SyncState {
    delivered: watch::Sender<Delivered>,
    /// When the watch of the `ReplicaCount` objects began to fail, and when it failed last.
    streak: Mutex<Option<(Instant, Instant)>>,
    /// When each other watch failed first.
    failing: Mutex<BTreeMap<WatchSource, Instant>>,
    /// The watches that have delivered a list, and were not refused since.
    listed: Mutex<BTreeSet<WatchSource>>,
    /// Whether the watch of the `ReplicaCount` objects has heard nothing for too long. `silence` writes it.
    pub(super) blind: watch::Sender<bool>,
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
    /// Waits for the first list of each of these watches.
    pub(super) fn new(waiting: BTreeSet<WatchSource>) -> Self {
        let delivered = watch::Sender::new(Delivered { waiting, version: 0 });
        Self {
            delivered,
            streak: Mutex::default(),
            failing: Mutex::default(),
            listed: Mutex::default(),
            blind: watch::Sender::new(false),
        }
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

    /// Records that a list is complete.
    pub(super) fn record_list(&self, source: &WatchSource) {
        self.listed.lock().insert(source.clone());
        self.mark_synced(source);
    }

    /// Records that a watch is refused, and what it delivered is forgotten.
    pub(super) fn record_refusal(&self, source: &WatchSource) {
        self.listed.lock().remove(source);
        self.mark_synced(source);
    }

    /// Whether a watch has delivered a list, and was not refused since.
    pub(super) fn has_list(&self, source: &WatchSource) -> bool {
        self.listed.lock().contains(source)
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

    /// Whether the watch of the `ReplicaCount` objects has been failing for a while.
    pub(super) fn is_stalled(&self) -> bool {
        self.streak.lock().is_some_and(|(since, last)| last.elapsed() < STREAK && since.elapsed() > STALLED)
    }

    /// Records the failure of a watch. A watch that works again records nothing, so a streak ends if no failure follows
    /// within [`STREAK`].
    pub(super) fn record_failure(&self, source: &WatchSource) {
        let now = Instant::now();
        if *source != WatchSource::ReplicaCounts {
            self.failing.lock().entry(source.clone()).or_insert(now);
            return;
        }
        let mut streak = self.streak.lock();
        *streak = match *streak {
            Some((since, last)) if last.elapsed() <= STREAK => Some((since, now)),
            _ => Some((now, now)),
        };
    }

    /// Stops waiting for the first lists of watches that fail, and returns these watches. It never stops waiting for
    /// the `ReplicaCount` objects, because the server cannot work without them.
    pub(super) fn give_up_failing(&self) -> Vec<WatchSource> {
        let failing = self.failing.lock();
        let lasting = failing.iter().filter(|(_, since)| since.elapsed() > STALLED).map(|(source, _)| source);
        let mut given_up = Vec::new();
        self.delivered.send_if_modified(|delivered| {
            given_up = lasting.filter(|source| delivered.waiting.remove(*source)).cloned().collect();
            !given_up.is_empty()
        });
        given_up
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_replica_counts_are_waited_for_as_long_as_they_fail() {
        let state = SyncState::new(WatchSource::permanent().collect());
        for source in WatchSource::permanent() {
            state.record_failure(&source);
        }
        assert_eq!(state.give_up_failing(), [], "an API server that starts fails for a moment");
        for _ in 0..3 {
            advance(Duration::from_secs(10)).await;
            state.record_failure(&WatchSource::ReplicaCounts);
        }
        let others = WatchSource::permanent().filter(|source| *source != WatchSource::ReplicaCounts);
        assert_eq!(BTreeSet::from_iter(state.give_up_failing()), others.collect::<BTreeSet<_>>());
        assert!(state.is_stalled() && !state.is_synced());
        state.mark_synced(&WatchSource::ReplicaCounts);
        assert!(state.is_synced());
        advance(STREAK).await;
        assert!(!state.is_stalled(), "no failure followed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_list_that_does_not_fail_is_waited_for() {
        let state = SyncState::new([WatchSource::Autoscalers].into());
        advance(STALLED * 100).await;
        assert_eq!(state.give_up_failing(), []);
        assert!(!state.is_synced());
    }
}
