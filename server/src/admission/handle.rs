//! Answers one review: reads it, decides, records who makes the write, and says what the user should know.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{Api, Client, Resource, core::PartialObjectMeta};
use serde_json::value::RawValue;
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
    index::{Index, TargetSnapshot, now},
    resources::{
        Attempt, FieldPath, Lenient, ReplicaCount, ReplicaCountSpec, ReplicaCountState, TargetKey, TargetKind, Uid,
    },
    reviews::{AdmissionMode, Content, KeptCreation, Reviewed, Reviews, TargetAttempt, UserNames},
    telemetry::Metrics,
};

/// The longest wait for the API server to say whether the count is still held. Then the watch, which has had the same time,
/// has the last word.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_millis(60);

/// The longest wait for the API server to say whether the user may know who holds the count. It waits a second for the
/// review.
const RIGHT_TIMEOUT: Duration = Duration::from_millis(300);

/// The longest name of a namespace, in bytes. The API server sends no longer one.
const MAX_NAMESPACE: usize = 63;

/// The longest UID of an object that is kept, in bytes. The API server makes UUIDs.
const MAX_UID: usize = 128;

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
    /// Says whether a count is still held.
    pub(crate) client: Client,
    /// This server's account. It writes `ReplicaCount` objects for the users of the gRPC API.
    pub(crate) account: String,
    /// The groups whose members are neither warned nor kept from changing a count.
    pub(crate) exempt_groups: Vec<String>,
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
        let held =
            Held::of(&snapshot, self.max_replicas, now).filter(|_| !request.is_by_member_of(&self.exempt_groups));
        let creation = held.as_ref().and_then(|held| creation(request, &write, &snapshot, held));
        // Before there is a target, no correction shows that the held count cannot be stored.
        let is_refused = creation.as_ref().is_some_and(|one| self.reviews.is_creation_refused(one, Instant::now()));
        let held = held.map(|held| Held { is_refused: held.is_refused || is_refused, ..held });
        let verdict = review(self.mode, endpoint, &write, held.as_ref());
        let (verdict, is_holder_shown) = self.confirm(verdict, request, &write.key, snapshot.count.as_deref()).await;
        if let Some(creation) = creation.filter(|_| verdict == Verdict::Kept) {
            self.reviews.record_creation(creation, Instant::now());
        }
        if request.is_dry_run() {
            self.record_dry_run(&write, endpoint);
        } else if verdict.is_preventing() {
            self.send_attempt(request, &write, verdict, now);
        } else if snapshot.count.is_some() && endpoint == Endpoint::Validate {
            // The validating webhook comes last, and sees what will be stored.
            self.record_write(request, &write);
        }
        let Some(held) = held else { return allowed };
        let text = text(verdict, &write, &held, is_holder_shown);
        let response = match (verdict, write.pointer) {
            (Verdict::Denied, _) => Response::denied(&request.uid, text.unwrap_or_default()),
            (Verdict::Kept, Some(pointer)) => Response::patched(&request.uid, text, pointer, held.desired),
            _ => Response::allowed(&request.uid, text),
        };
        (verdict, response)
    }

    /// The kind of the target, if the index knows it.
    fn kind(&self, request: &Request<'_>) -> Option<Arc<TargetKind>> {
        if request.is_scale() {
            return self.index.find_kind(|kind| request.is_of_resource(kind));
        }
        self.index.kind(&request.group_kind()?)
    }

    /// A dry run shows the leader that the webhooks are in force. It tests each by the requests that the other does not
    /// get. The mutating one keeps a count only where a patch can store it.
    fn record_dry_run(&self, write: &CountWrite, endpoint: Endpoint) {
        match endpoint {
            Endpoint::Validate if write.is_scale => self.reviews.record_dry_run(&write.uid, false),
            Endpoint::Mutate if write.pointer.is_some() => self.reviews.record_dry_run(&write.uid, true),
            Endpoint::Validate | Endpoint::Mutate => {}
        }
    }

    /// Records who writes the count of a managed target. Of other targets nothing is kept.
    fn record_write(&self, request: &Request<'_>, write: &CountWrite) {
        self.record(request, &write.uid, write.before, Content::of_count(write.to));
    }

    /// Records who writes a `ReplicaCount`.
    fn record_replica_count(&self, request: &Request<'_>, endpoint: Endpoint) {
        if request.is_dry_run() || endpoint != Endpoint::Validate {
            return;
        }
        let Some(states) = request.states() else { return };
        let spec = |object: &RawValue| -> Option<ReplicaCountSpec> {
            field(object, "spec").and_then(|spec| serde_json::from_str(spec.get()).ok())
        };
        let content = if request.is_scale() {
            // A Scale shows the count alone, and leaves out a 0.
            let replicas = count_in(states.object, &FieldPath::replicas()).count.unwrap_or(0);
            Some(Content::of_count(Some(replicas)))
        } else {
            spec(states.object).map(|after| Content::of_spec(states.old.and_then(spec).as_ref(), &after))
        };
        if let Some(content) = content {
            self.record(request, &states.uid, states.before, content);
        }
    }

    fn record(&self, request: &Request<'_>, uid: &Uid, before: u64, content: Content) {
        let (namespace, user) = (request.namespace(), request.user());
        let is_too_long = namespace.len() > MAX_NAMESPACE || uid.to_string().len() > MAX_UID;
        if self.users == UserNames::None || user.is_empty() || is_too_long {
            return;
        }
        // What this server writes, it writes for a user whom the object names.
        let user = if user == self.account { "" } else { user };
        let (namespace, user) = (namespace.into(), user.into());
        self.reviews.record(Reviewed { uid: uid.clone(), before, content, namespace, user }, Instant::now());
    }

    fn send_attempt(&self, request: &Request<'_>, write: &CountWrite, verdict: Verdict, at: Timestamp) {
        let verdict = verdict.label();
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

    /// Confirms a verdict by which the user notices that the count is held: only if the API server says that it is, or the
    /// watch does while the API server is too slow. The leader alone answers reviews, and its term ends 10 s after the last
    /// renewal of its Lease. If renewals succeed but the watch hears nothing, it can be behind for 90 s, until the leader is
    /// blind and hands over. A shorter bound would end the guard under load: a watch without changes hears something once
    /// a minute. Also returns whether the user may know by whom, which is so only if the API server says that in time.
    async fn confirm(
        &self,
        verdict: Verdict,
        request: &Request<'_>,
        key: &TargetKey,
        count: Option<&ReplicaCountState>,
    ) -> (Verdict, bool) {
        let Some(count) = count.filter(|_| verdict != Verdict::Allowed) else { return (Verdict::Allowed, false) };
        let caller = Arc::new(request.caller());
        let (is_stored, is_holder_shown) = tokio::join!(
            timeout(CONFIRMATION_TIMEOUT, self.is_stored(key, count)),
            timeout(RIGHT_TIMEOUT, self.authorizer.may_get(&caller, key)),
        );
        let is_held = is_stored.unwrap_or_else(|_| self.is_known(key, count));
        let verdict = if is_held { verdict } else { Verdict::Allowed };
        (verdict, is_holder_shown.unwrap_or(false))
    }

    /// Whether the API server has a `ReplicaCount` as the index knows it. The index may be behind: an Unset or a Set by
    /// another replica, or a deletion by kubectl, is stored before the watch shows it.
    async fn is_stored(&self, key: &TargetKey, known: &ReplicaCountState) -> bool {
        let counts: Api<Lenient<PartialObjectMeta<ReplicaCount>>> =
            Api::namespaced(self.client.clone(), &key.namespace);
        counts.get(&key.replica_count_name()).await.is_ok_and(|stored| {
            let stored = stored.meta();
            stored.uid.as_deref().map(Uid::from).as_ref() == Some(&known.uid)
                && stored.generation == known.generation
                && stored.deletion_timestamp.is_none()
        })
    }

    /// Whether the index still has a `ReplicaCount` as it was when the review began.
    fn is_known(&self, key: &TargetKey, before: &ReplicaCountState) -> bool {
        self.index.get(key).count.is_some_and(|count| count.uid == before.uid && count.generation == before.generation)
    }
}

/// The creation of a held target. `None` for other writes, and if the target exists.
fn creation(request: &Request<'_>, write: &CountWrite, snapshot: &TargetSnapshot, held: &Held) -> Option<KeptCreation> {
    let count = snapshot.count.as_ref().filter(|_| write.is_created && snapshot.target.is_none())?;
    let (uid, generation) = (count.uid.clone(), count.generation);
    let (key, is_dry_run) = (write.key.clone(), request.is_dry_run());
    Some(KeptCreation { key, uid, generation, desired: held.desired, is_dry_run })
}

#[cfg(test)]
mod tests;
