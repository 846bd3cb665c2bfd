//! Reports watches that have been failing for a while: in the state of their kind, which the conditions of its
//! `ReplicaCount` objects show, and as a metric.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    snapshot::{KindState, Unavailable},
    store::Index,
    watch_source::WatchSource,
};
use crate::resources::reasons;

/// Updates the states of all kinds and the metric.
pub(super) fn review(index: &Index) {
    let failing = index.health.review(Instant::now());
    for (state, kind) in index.kind_states() {
        let name = &kind.group_kind;
        let problem = failing.get(&WatchSource::Targets(name.clone())).filter(|failing| failing.is_reported);
        match (state, problem) {
            (KindState::Watched(_), Some(failing)) => {
                warn!(kind = %name, error = failing.error, "the watch of the kind keeps failing");
                let message =
                    format!("the watch of {name} keeps failing, so its state may be out of date: {}", failing.error);
                let problem = Unavailable { reason: reasons::WATCH_FAILING, message };
                index.set_kind(name, KindState::Failing(kind.clone(), Arc::new(problem)));
            }
            (KindState::Failing(..), None) => {
                info!(kind = %name, "the watch of the kind works again");
                index.set_kind(name, KindState::Watched(kind.clone()));
            }
            _ => {}
        }
        let source = WatchSource::Targets(name.clone());
        set_metric(index, &source, failing.get(&source).map(|failing| failing.lasting));
    }
    for source in [WatchSource::ReplicaCounts, WatchSource::Autoscalers] {
        set_metric(index, &source, failing.get(&source).map(|failing| failing.lasting));
    }
}

fn set_metric(index: &Index, source: &WatchSource, lasting: Option<Duration>) {
    index.watches.set_failing(source, lasting.unwrap_or_default());
}
