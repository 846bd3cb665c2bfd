//! The watches of targets: permanent ones of some kinds, and one for each further kind that a `ReplicaCount` names.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    discovery,
    snapshot::{KindState, Unavailable},
    store::Index,
    watch_handlers::{RETRY, watch_targets},
    watch_source::{WatchSource, kinds_always_watched},
};
use crate::{
    resources::{GroupKind, TargetKind},
    telemetry,
};

/// How often the definition of a kind is read again. The API server can begin to serve another version, and a changed
/// CRD can have its count in another field.
const REVIEW: Duration = Duration::from_secs(60);

/// Watches the kinds in use for as long as it is polled. Returns only if a watch panicked.
pub(crate) async fn run(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let always: BTreeSet<_> = kinds_always_watched().collect();
    let mut in_use = index.kinds_in_use();
    let mut watches: HashMap<GroupKind, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted: BTreeSet<_> = in_use.borrow_and_update().union(&always).cloned().collect();
        watches.iter().filter(|(kind, _)| !wanted.contains(*kind)).for_each(|(_, watch)| watch.abort());
        for kind in wanted {
            watches.entry(kind.clone()).or_insert_with(|| {
                let (index, client, namespace) = (index.clone(), client.clone(), namespace.clone());
                let watch = KindWatch { index, client, namespace, kind };
                tasks.spawn(watch.run())
            });
        }
        tokio::select! {
            // The channel cannot close, because the index owns the sender.
            _ = in_use.changed() => {}
            Some(Err(ended)) = tasks.join_next() => {
                if !ended.is_cancelled() {
                    return error!(%ended, "a watch panicked");
                }
                // A watch that was aborted may have written until now, so its kind is reset only here.
                watches.retain(|kind, watch| {
                    let has_ended = watch.id() == ended.id();
                    if has_ended {
                        index.set_kind(kind, KindState::Unlisted);
                        index.watches.end(&WatchSource::Targets(kind.clone()));
                    }
                    !has_ended
                });
            }
        }
    }
}

/// The watch of one kind.
struct KindWatch {
    index: Arc<Index>,
    client: Client,
    namespace: Option<String>,
    kind: GroupKind,
}

impl KindWatch {
    /// Looks the kind up and watches its targets. Repeats both when the kind's definition changes or the API server
    /// refuses the watch.
    async fn run(self) {
        let mut was_refused = false;
        loop {
            let problem = match discovery::find(&self.client, &self.kind).await {
                Ok(kind) => {
                    let kind = Arc::new(kind);
                    let watch = watch_targets(&self.index, &self.client, self.namespace.as_deref(), &kind);
                    let began = Instant::now();
                    let refusal = tokio::select! {
                        refusal = watch => refusal,
                        () = self.wait_until_redefined(&kind) => continue,
                    };
                    if discovery::find(&self.client, &self.kind).await.is_ok_and(|now| now != *kind) {
                        continue;
                    }
                    // An API server that is starting refuses every request for a moment. So the index keeps its targets
                    // after the first refusal. It gives the kind up if the next watch is refused within this interval.
                    let is_second_refusal = was_refused && began.elapsed() < 2 * RETRY;
                    let is_known = self.index.kind(&self.kind).is_some();
                    if is_known && !is_second_refusal {
                        was_refused = true;
                        sleep(RETRY).await;
                        continue;
                    }
                    refusal
                }
                Err(error) => Unavailable { reason: error.reason(), message: telemetry::chain(&error) },
            };
            self.give_up(problem);
            sleep(RETRY).await;
        }
    }

    /// Waits until the API server serves the kind in another way.
    async fn wait_until_redefined(&self, kind: &TargetKind) {
        loop {
            sleep(REVIEW).await;
            if discovery::find(&self.client, &self.kind).await.is_ok_and(|now| now != *kind) {
                info!(kind = %self.kind, "the kind's definition has changed");
                return;
            }
        }
    }

    fn give_up(&self, problem: Unavailable) {
        let now = KindState::Unavailable(Arc::new(problem.clone()));
        if !self.index.has_kind_state(&self.kind, &now) {
            warn!(kind = %self.kind, reason = problem.reason, problem = problem.message, "kind cannot be watched");
        }
        self.index.set_kind(&self.kind, now);
        // A kind that cannot be watched must not delay the readiness of the server.
        self.index.sync_state.mark_synced(&WatchSource::Targets(self.kind.clone()));
    }
}
