//! Notices watches that hear nothing from the API server any more.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{store::Index, sync_state::MAX_SILENCE, watch_source::WatchSource};

/// How often the silence is measured.
const INTERVAL: Duration = Duration::from_secs(1);

/// Measures the silence of all watches for as long as it is polled. It logs when one begins and ends, and decides
/// whether this replica is blind.
pub(crate) async fn measure(index: Arc<Index>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = BTreeSet::new();
    loop {
        ticks.tick().await;
        let now: BTreeSet<_> = index.watches.silent_for(MAX_SILENCE).into_iter().collect();
        for watch in now.difference(&before) {
            warn!(watch, "the watch has heard nothing from the API server for {} s", MAX_SILENCE.as_secs());
        }
        for watch in before.difference(&now) {
            info!(watch, "the watch hears from the API server again");
        }
        let is_blind = now.contains(&WatchSource::ReplicaCounts.to_string());
        index.sync_state.blind.send_if_modified(|was_blind| std::mem::replace(was_blind, is_blind) != is_blind);
        for source in index.sync_state.give_up_failing() {
            warn!(%source, "its first list keeps failing, going on without it");
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_silent_watch_of_the_replica_counts_makes_blind() {
        let index = Arc::new(Index::default());
        index.watches.begin(&WatchSource::ReplicaCounts);
        index.watches.begin(&WatchSource::Autoscalers);
        let measuring = tokio::spawn(measure(index.clone()));
        for _ in 0..9 {
            sleep(Duration::from_secs(60)).await;
            index.watches.heard("ReplicaCount");
            assert!(!*index.is_blind().borrow(), "autoscalers are not essential");
        }
        sleep(MAX_SILENCE - INTERVAL).await;
        assert!(!*index.is_blind().borrow());
        sleep(INTERVAL * 2).await;
        assert!(*index.is_blind().borrow());
        index.watches.heard("ReplicaCount");
        sleep(INTERVAL).await;
        assert!(!*index.is_blind().borrow());
        measuring.abort();
    }
}
