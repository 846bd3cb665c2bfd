//! The watch of one kind: it follows the kind's definition, and decides what a refusal of the watch means.

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    discovery::{self, Discovery},
    snapshot::{KindState, Unavailable},
    store::Index,
    watch_handlers::watch_targets,
    watch_source::WatchSource,
};
use crate::{
    resources::{
        GroupKind, TargetKind,
        api_errors::{REFUSAL_PAUSE, RepeatedRefusal},
    },
    telemetry,
};

/// How often the definition of a kind is read again. The API server can begin to serve another version, and a changed
/// CRD can have its count in another field.
const REVIEW: Duration = Duration::from_secs(60);

/// How often the server looks for another version while the watch fails. After the same time the failure is reported
/// (`watch_health`).
const FAILING_REVIEW: Duration = Duration::from_secs(20);

/// The pauses before a kind that cannot be watched is tried again: a missing right can be granted at any time.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How an attempt to watch a kind has ended.
enum End {
    /// The API server serves the kind in this way now.
    Redefined(Arc<TargetKind>),
    /// The API server refuses the watch.
    Refused(Unavailable),
    /// The API server serves no such kind, or it cannot be scaled.
    Absent(Unavailable),
    /// The API server did not say how it serves the kind.
    NoAnswer(Unavailable),
}

/// The watch of one kind.
pub(super) struct KindWatch {
    pub(super) index: Arc<Index>,
    pub(super) client: Client,
    pub(super) namespace: Option<String>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) kind: GroupKind,
}

impl KindWatch {
    /// Looks the kind up and watches its targets. Repeats both when the kind's definition changes or the API server
    /// refuses the watch. Returns when the API server no longer serves the kind.
    pub(super) async fn run(self) {
        let (mut refusals, mut pause) = (RepeatedRefusal::default(), RETRY_MIN);
        let mut found = None;
        loop {
            let began = Instant::now();
            let end = match found.take() {
                Some(kind) => self.watch(kind).await,
                None => match self.discovery.find(&self.kind, None).await {
                    Ok(kind) => self.watch(Arc::new(kind)).await,
                    Err(error) if error.is_refusal() => End::Absent(error.into()),
                    Err(error) => End::NoAnswer(error.into()),
                },
            };
            if began.elapsed() > 2 * REFUSAL_PAUSE {
                // It worked for a while.
                refusals.clear();
                pause = RETRY_MIN;
            }
            match end {
                End::Redefined(kind) => {
                    found = Some(kind);
                    continue;
                }
                End::Refused(..) | End::Absent(_) if !refusals.is_repeated(Instant::now()) => {
                    sleep(REFUSAL_PAUSE).await;
                    continue;
                }
                End::Refused(problem) => self.give_up(problem),
                End::Absent(problem) => return self.give_up(problem),
                // Without an answer, the index keeps what it knows: it may still be true.
                End::NoAnswer(problem) if self.index.kind(&self.kind).is_some() => {
                    self.index.health.record_failure(&self.source(), &problem.message);
                }
                End::NoAnswer(problem) => self.give_up(problem),
            }
            sleep(pause).await;
            pause = RETRY_MAX.min(2 * pause);
        }
    }

    /// Watches until the definition of the kind has changed, or the API server refuses the watch.
    async fn watch(&self, kind: Arc<TargetKind>) -> End {
        let is_elsewhere = |known: Arc<TargetKind>| known.replicas != kind.replicas;
        if self.index.kind(&self.kind).is_some_and(is_elsewhere) {
            // The counts that were read at the other path say nothing about those at this one.
            self.index.set_kind(&self.kind, KindState::Unlisted);
        }
        let watch = watch_targets(&self.index, &self.client, self.namespace.as_deref(), &kind);
        let refusal = tokio::select! {
            refusal = watch => refusal,
            end = self.wait_until_redefined(&kind) => return end,
        };
        match self.discovery.find(&self.kind, None).await {
            Ok(other) if other != *kind => End::Redefined(Arc::new(other)),
            Err(error) if error.is_refusal() => End::Absent(error.into()),
            _ => End::Refused(refusal),
        }
    }

    /// Waits until the definition of the kind has changed or is gone, or, while the watch fails, until another version can
    /// be listed. A watch does not end by itself when the kind can no longer be scaled.
    async fn wait_until_redefined(&self, kind: &TargetKind) -> End {
        let mut reviewed = Instant::now();
        loop {
            sleep(FAILING_REVIEW).await;
            let is_failing = self.index.health.is_failing(&self.source());
            if !is_failing && reviewed.elapsed() < REVIEW {
                continue;
            }
            reviewed = Instant::now();
            let watched = if is_failing { None } else { Some(kind) };
            match self.review(watched).await {
                Ok(other) if other != *kind => {
                    info!(kind = %self.kind, version = other.version, "the kind's definition has changed");
                    return End::Redefined(Arc::new(other));
                }
                Err(error) if error.is_refusal() => return End::Absent(error.into()),
                _ => {}
            }
        }
    }

    /// Looks the kind up while its watch goes on. A refusal is asked for once more after a pause, because the watch ends
    /// by one.
    async fn review(&self, watched: Option<&TargetKind>) -> Result<TargetKind, discovery::Error> {
        let found = self.discovery.find(&self.kind, watched).await;
        if !found.as_ref().is_err_and(discovery::Error::is_refusal) {
            return found;
        }
        sleep(REFUSAL_PAUSE).await;
        self.discovery.find(&self.kind, watched).await
    }

    fn source(&self) -> WatchSource {
        WatchSource::Targets(self.kind.clone())
    }

    fn give_up(&self, problem: Unavailable) {
        let now = KindState::Unavailable(Arc::new(problem.clone()));
        if !self.index.has_kind_state(&self.kind, &now) {
            warn!(kind = %self.kind, reason = problem.reason, problem = problem.message, "kind cannot be watched");
        }
        self.index.set_kind(&self.kind, now);
        self.index.health.clear(&self.source());
        // A kind that cannot be watched must not delay the readiness of the server.
        self.index.sync_state.mark_synced(&self.source());
    }
}

impl From<discovery::Error> for Unavailable {
    fn from(error: discovery::Error) -> Self {
        Self { reason: error.reason(), message: telemetry::chain(&error) }
    }
}
