//! Answers one review: reads it, decides, records who makes the write, and says what the user should know.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    held::Held,
    object::{count_in, field},
    request::{CountWrite, Request},
    response::Response,
    review::{Endpoint, Verdict, review},
    texts::text,
};
use crate::{
    grpc::Authorizer,
    index::{Index, Scope, now},
    resources::{Attempt, FieldPath, ReplicaCountSpec, ReplicaCountState, TargetKind, Uid},
    reviews::{AdmissionMode, Content, Reviewed, Reviews, TargetAttempt, UserNames},
    telemetry::Metrics,
};

/// The longest wait for the answer whether the user may know who holds a count. The API server waits a second for the
/// review.
const HOLDER: Duration = Duration::from_millis(300);

/// What reviews work with.
pub(crate) struct Reviewer {
    /// What the server does.
    pub(crate) mode: AdmissionMode,
    /// Whether users are recorded.
    pub(crate) users: UserNames,
    /// The largest count that is enforced, in replicas.
    pub(crate) max_replicas: i32,
    /// What the watches know.
    pub(crate) index: Arc<Index>,
    /// Where enforcement looks up who made a write.
    pub(crate) reviews: Arc<Reviews>,
    /// The way of prevented changes to enforcement.
    pub(crate) attempts: mpsc::Sender<TargetAttempt>,
    /// Decides who may know who holds a count.
    pub(crate) authorizer: Authorizer,
    /// Where reviews are counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// Answers the body of a review with the body of its answer.
///
/// The answer to a body that is no review has no UID. The API server ignores such an answer, and allows the write.
pub(crate) async fn handle(body: &[u8], endpoint: Endpoint, reviewer: &Reviewer) -> Vec<u8> {
    let began = Instant::now();
    let (verdict, answer) = match Request::read(body) {
        Ok(request) => {
            let (verdict, response) = reviewer.answer(&request, endpoint).await;
            (verdict.label(), response.into_body())
        }
        Err(error) => {
            debug!(%error, "a review cannot be read");
            ("unreadable", Response::allowed("", None).into_body())
        }
    };
    reviewer.metrics.admission.reviewed(verdict, began.elapsed().as_secs_f64());
    answer
}

impl Reviewer {
    async fn answer<'a>(&self, request: &'a Request<'_>, endpoint: Endpoint) -> (Verdict, Response<'a>) {
        let allowed = (Verdict::Allowed, Response::allowed(&request.uid, None));
        if request.is_of_replica_count() {
            self.record_replica_count(request, endpoint);
            return allowed;
        }
        let Some(kind) = self.kind(request) else { return allowed };
        let Some(write) = request.count_write(&kind) else { return allowed };
        let (snapshot, now) = (self.index.get(&write.key), now());
        let held = Held::of(&snapshot, self.max_replicas, now);
        let verdict = review(self.mode, endpoint, &write, held.as_ref());
        if request.is_dry_run() {
            self.record_dry_run(&write, endpoint);
        } else if verdict.is_preventing() {
            self.send_attempt(request, &write, verdict, now);
        } else if snapshot.count.is_some() && endpoint == Endpoint::Validate {
            // The validating webhook comes last, and sees what will be stored.
            self.record_write(request, &write);
        }
        let Some(held) = held else { return allowed };
        let is_holder_shown = verdict != Verdict::Allowed && self.may_know_holder(request, &write).await;
        let text = text(verdict, &write, &held, is_holder_shown);
        let response = match (verdict, write.known) {
            (Verdict::Denied, _) => Response::denied(&request.uid, text.unwrap_or_default()),
            (Verdict::Kept, Some(known)) => {
                Response::patched(&request.uid, text, kind.replicas.to_store(known, held.desired))
            }
            _ => Response::allowed(&request.uid, text),
        };
        (verdict, response)
    }

    /// The kind of the target, if the index knows it.
    fn kind(&self, request: &Request<'_>) -> Option<Arc<TargetKind>> {
        if request.is_scale() {
            return self.index.kinds().into_iter().find(|kind| request.is_of_resource(kind));
        }
        self.index.kind(&request.group_kind()?)
    }

    /// A dry run shows the leader that the webhooks are in force. It tests each by the requests that the other does not
    /// get.
    fn record_dry_run(&self, write: &CountWrite, endpoint: Endpoint) {
        match (endpoint, write.is_scale) {
            (Endpoint::Validate, true) => self.reviews.record_dry_run(&write.uid, false),
            (Endpoint::Mutate, false) => self.reviews.record_dry_run(&write.uid, true),
            _ => {}
        }
    }

    /// Records who writes the count of a managed target. Of other targets nothing is kept.
    fn record_write(&self, request: &Request<'_>, write: &CountWrite) {
        let Some(count) = write.to else { return };
        self.record(request, &write.uid, write.before, Content::Count(count));
    }

    /// Records who writes a `ReplicaCount`.
    fn record_replica_count(&self, request: &Request<'_>, endpoint: Endpoint) {
        if request.is_dry_run() || endpoint != Endpoint::Validate {
            return;
        }
        let Some(states) = request.states() else { return };
        let spec = if request.is_scale() {
            let replicas = count_in(states.object, &FieldPath::replicas()).count.unwrap_or(0);
            let count = self.replica_count(request.namespace(), &states.uid, states.before);
            count.map(|count| ReplicaCountSpec { replicas, ..count.spec.clone() })
        } else {
            field(states.object, "spec").and_then(|spec| serde_json::from_str(spec.get()).ok())
        };
        if let Some(spec) = spec {
            self.record(request, &states.uid, states.before, Content::of_spec(&spec));
        }
    }

    /// A `ReplicaCount` that is scaled, as the index knows it at this version. Its Scale does not say which target it has.
    fn replica_count(&self, namespace: &str, uid: &Uid, version: u64) -> Option<Arc<ReplicaCountState>> {
        let scope = Scope { all_targets: false, namespace: Some(namespace) };
        let mut after = None;
        loop {
            let page = self.index.page(scope, after.as_ref());
            let mut counts = page.entries.into_iter().filter_map(|snapshot| snapshot.count);
            let found = counts.find(|count| count.uid == *uid && count.resource_version == version);
            if found.is_some() {
                return found;
            }
            after = Some(page.next?);
        }
    }

    fn record(&self, request: &Request<'_>, uid: &Uid, before: u64, content: Content) {
        if self.users == UserNames::None || request.user().is_empty() {
            return;
        }
        let (namespace, user) = (request.namespace().into(), request.user().into());
        self.reviews.record(Reviewed { uid: uid.clone(), before, content, namespace, user }, Instant::now());
    }

    fn send_attempt(&self, request: &Request<'_>, write: &CountWrite, verdict: Verdict, at: Timestamp) {
        let verdict = verdict.label();
        self.metrics.admission.attempted(verdict);
        let user = match self.users {
            UserNames::Name => request.user(),
            UserNames::None => "",
        };
        let attempt = Attempt {
            user: user.into(),
            manager: request.manager().into(),
            from: write.from,
            to: write.to,
            at: MicroTime(at),
            verdict: verdict.into(),
        };
        if self.attempts.try_send(TargetAttempt { key: write.key.clone(), attempt }).is_err() {
            self.metrics.admission.attempts_lost.inc();
        }
    }

    /// Whether the user may read the `ReplicaCount`. Without an answer in time, the user learns only what is held.
    async fn may_know_holder(&self, request: &Request<'_>, write: &CountWrite) -> bool {
        let caller = Arc::new(request.caller());
        timeout(HOLDER, self.authorizer.may_get(&caller, &write.key)).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
