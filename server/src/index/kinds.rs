//! Which kinds are watched: those that are always there, and every other that a `ReplicaCount` names.

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
    Index, Source,
    watch_handlers::{self, RETRY},
};
use crate::{
    index::discovery,
    resources::{GroupKind, TargetKind},
    telemetry,
};

/// How often the definition of a custom resource is read again: it may serve another version, or have its count elsewhere.
const REVIEW: Duration = Duration::from_secs(60);

/// Whether the targets of a kind are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KindState {
    /// Nothing is known yet.
    #[default]
    Unlisted,
    /// All are known.
    Watched(Arc<TargetKind>),
    /// They cannot be known.
    Unavailable(Arc<Unavailable>),
}

/// Why the targets of a kind cannot be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// In one word, for programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// The kinds that are watched whether they are in use or not, so that unmanaged targets can be listed. Not ReplicaSets:
/// every Deployment leaves ten behind.
pub fn always() -> impl Iterator<Item = TargetKind> {
    TargetKind::apps().into_iter().filter(|kind| &*kind.group_kind.kind != "ReplicaSet")
}

/// Watches the kinds in use for as long as it is polled. Ends only if a watch panicked.
pub async fn watch(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let always: BTreeSet<_> = always().map(|kind| kind.group_kind).collect();
    let mut in_use = index.kinds_in_use();
    let mut watches: HashMap<GroupKind, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted: BTreeSet<_> = in_use.borrow_and_update().union(&always).cloned().collect();
        watches.iter().filter(|(kind, _)| !wanted.contains(*kind)).for_each(|(_, watch)| watch.abort());
        for kind in wanted {
            watches.entry(kind.clone()).or_insert_with(|| {
                let watch = Watch { index: index.clone(), client: client.clone(), namespace: namespace.clone(), kind };
                tasks.spawn(watch.run())
            });
        }
        tokio::select! {
            // The cache holds the sender.
            _ = in_use.changed() => {}
            Some(Err(ended)) = tasks.join_next() => {
                if !ended.is_cancelled() {
                    return error!(%ended, "a watch panicked");
                }
                // Only now that it has ended can it no longer tell the cache anything.
                watches.retain(|kind, watch| {
                    let ended = watch.id() == ended.id();
                    if ended {
                        index.set_kind(kind, KindState::Unlisted);
                    }
                    !ended
                });
            }
        }
    }
}

/// The watch of one kind.
struct Watch {
    index: Arc<Index>,
    client: Client,
    namespace: Option<String>,
    kind: GroupKind,
}

impl Watch {
    /// Looks the kind up and follows its targets, and again when its definition has changed or gone.
    async fn run(self) {
        let mut refused = false;
        loop {
            let problem = match discovery::find(&self.client, &self.kind).await {
                Ok(kind) => {
                    let kind = Arc::new(kind);
                    let follow = watch_handlers::targets(&self.index, &self.client, self.namespace.as_deref(), &kind);
                    let began = Instant::now();
                    let refusal = tokio::select! {
                        refusal = follow => refusal,
                        () = self.redefined(&kind) => continue,
                    };
                    if discovery::find(&self.client, &self.kind).await.is_ok_and(|now| now != *kind) {
                        continue;
                    }
                    // An API server that is starting refuses everybody for a moment. What is known stays known until it
                    // refuses again.
                    let known = self.index.kind(&self.kind).is_some();
                    if known && !(refused && began.elapsed() < 2 * RETRY) {
                        refused = true;
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

    /// Waits until the kind is served in another way.
    async fn redefined(&self, kind: &TargetKind) {
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
        if self.index.lock().kinds.get(&self.kind) != Some(&now) {
            warn!(kind = %self.kind, reason = problem.reason, problem = problem.message, "kind cannot be watched");
        }
        self.index.set_kind(&self.kind, now);
        // One kind must not hold up the others.
        self.index.sync_state.mark_synced(&Source::Targets(self.kind.clone()));
    }
}
