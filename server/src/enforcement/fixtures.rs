//! A managed target for tests, which goes through events, answers and time as the executor would lead it.

mod reviewed;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    assessment::Assessment,
    decision::Decision,
    memory::{Memory, Record, Started},
    observation::{Now, Observation, Users},
    reconcile::reconcile,
    status::status,
    writes::{CorrectionAnswer, OwnershipAnswer, StatusAnswer},
};
use crate::{
    index::KindState,
    resources::{ReplicaCount, ReplicaCountState, ReplicaCountStatus, RestoreRequest, Target, TargetKind, TargetState},
    reviews::Admission,
};

/// The maximum of the server, in replicas.
pub const MAX: i32 = 100;

/// A time in seconds after an arbitrary start.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// An entry of managedFields: the count was written through `/scale` by a manager.
pub fn scaled_by(manager: &str) -> ManagedFieldsEntry {
    entry(json!({
        "manager": manager, "operation": "Update", "subresource": "scale",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }))
}

/// An entry of managedFields: a manager applied the target, with or without the count.
pub fn applied_by(manager: &str, second: i64, owns: bool) -> ManagedFieldsEntry {
    let spec = if owns { json!({"f:replicas": {}, "f:template": {}}) } else { json!({"f:template": {}}) };
    entry(json!({
        "manager": manager, "operation": "Apply", "time": at(second).to_string(), "fieldsV1": {"f:spec": spec},
    }))
}

fn entry(entry: Value) -> ManagedFieldsEntry {
    serde_json::from_value(entry).unwrap()
}

/// A state of the target.
pub struct TargetFixture {
    uid: &'static str,
    version: u64,
    replicas: Option<i32>,
    ready: Option<i32>,
    entries: Vec<ManagedFieldsEntry>,
    is_deleting: bool,
    controller: Option<&'static str>,
}

/// A target at a resource version with a count, all of its replicas ready, and no owner of the count.
pub fn target(version: u64, replicas: i32) -> TargetFixture {
    TargetFixture {
        uid: "u",
        version,
        replicas: Some(replicas),
        ready: Some(replicas),
        entries: Vec::new(),
        is_deleting: false,
        controller: None,
    }
}

impl TargetFixture {
    pub fn uid(self, uid: &'static str) -> Self {
        Self { uid, ..self }
    }

    /// The count has this value in the object's other fields, and cannot be read.
    pub fn without_count(self) -> Self {
        Self { replicas: None, ..self }
    }

    pub fn ready(self, ready: Option<i32>) -> Self {
        Self { ready, ..self }
    }

    pub fn deleting(self) -> Self {
        Self { is_deleting: true, ..self }
    }

    pub fn controlled_by(self, controller: &'static str) -> Self {
        Self { controller: Some(controller), ..self }
    }

    pub fn scaled_by(mut self, manager: &str) -> Self {
        self.entries.push(scaled_by(manager));
        self
    }

    pub fn applied_by(mut self, manager: &str, second: i64, owns: bool) -> Self {
        self.entries.push(applied_by(manager, second, owns));
        self
    }

    pub fn state(self) -> TargetState {
        let object = json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": self.uid, "resourceVersion": self.version.to_string(),
                "managedFields": self.entries,
                "deletionTimestamp": self.is_deleting.then(|| at(0).to_string()),
            },
        });
        let state = serde_json::from_value::<Target>(object).unwrap().state;
        TargetState { replicas: self.replicas, ready: self.ready, controller: self.controller.map(Into::into), ..state }
    }
}

/// A `ReplicaCount` of the Deployment `web`, last set by alice.
pub fn replica_count(version: u64, generation: i64, spec: Value, status: Value) -> Arc<ReplicaCountState> {
    let mut object = json!({
        "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
        "metadata": {
            "name": "deployment.web", "namespace": "shop", "uid": "c", "resourceVersion": version.to_string(),
            "generation": generation, "annotations": {"replica-count-manager.io/set-by": "alice"},
            "managedFields": [{"manager": "replica-count-manager", "operation": "Update",
                               "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
        },
        "spec": spec, "status": status,
    });
    object["spec"]["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    Arc::new(serde_json::from_value::<ReplicaCount>(object).unwrap().into())
}

/// A `ReplicaCount` after a request for the count from before, which names a user.
fn asked_to_restore(count: &ReplicaCountState, user: &str) -> Arc<ReplicaCountState> {
    let mut count = count.clone();
    let original = count.spec.original_replicas.unwrap();
    if count.spec.replicas != original {
        count.spec.replicas = original;
        count.generation = count.generation.map(|generation| generation + 1);
    }
    count.restore = Some(RestoreRequest { generation: count.generation, user: user.into() });
    count.resource_version += 1;
    Arc::new(count)
}

/// The kind of the target, known and watched.
pub fn watched_deployments() -> KindState {
    KindState::Watched(Arc::new(TargetKind::apps()[0].clone()))
}

/// The kind ReplicaSet, known and watched.
pub fn watched_replica_sets() -> KindState {
    KindState::Watched(Arc::new(TargetKind::apps()[2].clone()))
}

/// A managed target.
pub struct Managed {
    pub observation: Observation,
    pub memory: Memory,
    pub assessment: Assessment,
    start: Instant,
}

impl Managed {
    /// Held at a count since generation 1, and never reconciled.
    pub fn at(replicas: i32) -> Self {
        Self::with(replica_count(1, 1, json!({"replicas": replicas}), Value::Null))
    }

    /// Held by a `ReplicaCount`, at the start of a term.
    pub fn with(count: Arc<ReplicaCountState>) -> Self {
        let observation = Observation {
            count,
            target: None,
            kind: watched_deployments(),
            autoscaler: None,
            at: at(0),
            max_replicas: MAX,
            gives_back: true,
            users: Users::default(),
            admission: Some(Admission::Neither),
        };
        let memory = Memory::of(&observation);
        Self { observation, memory, assessment: Assessment::default(), start: Instant::now() }
    }

    pub fn now(&self, second: i64) -> Now {
        let elapsed = std::time::Duration::from_secs(second.unsigned_abs());
        Now { wall: at(second), monotonic: self.start + elapsed }
    }

    /// A timer: decides again.
    pub fn decide(&mut self, second: i64) -> Decision {
        self.observation.at = at(second);
        self.reconcile(second)
    }

    /// Decides about the state that was observed last.
    pub fn reconcile(&mut self, second: i64) -> Decision {
        let now = self.now(second);
        let decision = reconcile(&self.observation, &self.memory, now);
        self.memory.record(Record::Decision(&decision, &self.observation), now);
        self.assessment = decision.assessment;
        decision
    }

    /// An event of the target.
    pub fn see(&mut self, second: i64, target: TargetFixture) -> Decision {
        self.observation.target = Some(Arc::new(target.state()));
        self.observation.at = at(second);
        self.decide(second)
    }

    /// An event of the `ReplicaCount` with another spec.
    pub fn set(&mut self, second: i64, spec: Value) -> Decision {
        let count = &self.observation.count;
        let (version, generation) = (count.resource_version + 1, count.generation.unwrap() + 1);
        let status = serde_json::to_value(&*count.status).unwrap();
        self.observation.count = replica_count(version, generation, spec, status);
        self.decide(second)
    }

    /// A request for the count from before.
    pub fn restore(&mut self, second: i64, user: &str) -> Decision {
        self.observation.count = asked_to_restore(&self.observation.count, user);
        self.decide(second)
    }

    /// The start of a correction.
    pub fn start(&mut self, second: i64, to: i32) {
        let now = self.now(second);
        self.memory.record(Record::CorrectionStarted(Started::Scale(to)), now);
    }

    /// A correction, from its start to its answer.
    pub fn correct(&mut self, second: i64, to: i32, version: u64) -> Decision {
        self.start(second, to);
        self.answer(second, CorrectionAnswer::Scaled { to, stored: to, version, was_changed: true })
    }

    /// A correction of which the API server stores another count, from its start to its answer.
    pub fn correct_changed(&mut self, second: i64, to: i32, stored: i32, version: u64) -> Decision {
        let seen = self.observation.target.as_ref().map_or(0, |target| target.resource_version);
        self.start(second, to);
        self.answer(second, CorrectionAnswer::Scaled { to, stored, version, was_changed: version != seen })
    }

    /// The answer to a correction.
    pub fn answer(&mut self, second: i64, answer: CorrectionAnswer) -> Decision {
        let now = self.now(second);
        self.memory.record(Record::Correction(&answer), now);
        self.reconcile(second)
    }

    /// The answer to a status write.
    pub fn answer_status(&mut self, second: i64, answer: StatusAnswer) {
        let now = self.now(second);
        self.memory.record(Record::Status(answer), now);
    }

    /// The answer to a patch of ownership.
    pub fn answer_ownership(&mut self, second: i64, answer: OwnershipAnswer) -> Decision {
        let now = self.now(second);
        self.memory.record(Record::Ownership(&answer), now);
        self.reconcile(second)
    }

    /// The status, as it would be sent.
    pub fn status(&self, second: i64) -> ReplicaCountStatus {
        status(&self.observation, &self.memory, self.assessment, at(second))
    }

    /// The reason of the condition `Ready`.
    pub fn ready(&self, second: i64) -> String {
        self.status(second).conditions[0].reason.to_string()
    }
}
