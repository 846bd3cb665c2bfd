//! Builders of objects for tests. Every object is in the namespace `shop`.

use serde_json::{Value, json};

use super::{
    field_owners::Operation,
    key::TargetKey,
    names::FIELD_MANAGER,
    replica_count::ReplicaCount,
    replica_count_state::ReplicaCountState,
    target::{Target, TargetState},
};

/// The namespace of every object.
const NAMESPACE: &str = "shop";

/// The key of a Deployment.
pub(crate) fn deployment_key(name: &str) -> TargetKey {
    TargetKey::new(NAMESPACE, "apps", "Deployment", name).unwrap()
}

/// A `ReplicaCount` with a value in every field.
pub(crate) fn full_replica_count() -> ReplicaCount {
    let at = "2026-01-01T00:00:00.000001Z";
    ReplicaCountBuilder::new("web")
        .version(7)
        .generation(2)
        .set_by("alice")
        .spec(json!({
            "replicas": 3, "originalReplicas": 2, "reason": "load test",
            "override": {"replicas": 10, "until": "2026-01-02T00:00:00Z", "reason": "sale", "thenUnset": false},
        }))
        .status(json!({
            "observedGeneration": 2, "desired": 3, "observed": 3, "ready": 2, "drifts": 1, "appliers": ["helm"],
            "lastDrift": {"manager": "kubectl", "operation": "Update", "subresource": "scale", "from": 3, "to": 7,
                          "at": at, "correctedAt": at},
            "drifters": [{"manager": "kubectl", "count": 1, "from": 3, "to": 7, "last": at}],
            "changes": [{"from": 2, "to": 3, "by": "alice", "reason": "load test", "at": at}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "InPlace", "message": "",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }))
        .build()
}

/// Builds the `ReplicaCount` of a Deployment.
pub(crate) struct ReplicaCountBuilder(Value);

impl ReplicaCountBuilder {
    /// Begins with a lasting count of 3 and nothing else.
    pub(crate) fn new(target: &str) -> Self {
        Self(json!({
            "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
            "metadata": {"name": deployment_key(target).replica_count_name(), "namespace": NAMESPACE, "uid": "u"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "replicas": 3,
            },
        }))
    }

    /// Adds fields to the metadata.
    pub(crate) fn metadata(mut self, fields: Value) -> Self {
        merge(&mut self.0["metadata"], fields);
        self
    }

    /// Adds fields to the spec.
    pub(crate) fn spec(mut self, fields: Value) -> Self {
        merge(&mut self.0["spec"], fields);
        self
    }

    pub(crate) fn status(mut self, status: Value) -> Self {
        self.0["status"] = status;
        self
    }

    pub(crate) fn version(self, version: u64) -> Self {
        self.metadata(json!({"resourceVersion": version.to_string()}))
    }

    pub(crate) fn generation(self, generation: i64) -> Self {
        self.metadata(json!({"generation": generation}))
    }

    /// The count was set by a user of the gRPC API.
    pub(crate) fn set_by(self, user: &str) -> Self {
        let entry = managed_fields_entry(FIELD_MANAGER, Operation::Update, None);
        self.metadata(json!({"annotations": {"replica-count-manager.io/set-by": user}, "managedFields": [entry]}))
    }

    /// The count was written by a field manager, without the gRPC API.
    pub(crate) fn written_by(self, manager: &str, operation: Operation) -> Self {
        self.metadata(json!({"managedFields": [managed_fields_entry(manager, operation, None)]}))
    }

    pub(crate) fn build(self) -> ReplicaCount {
        serde_json::from_value(self.0).unwrap()
    }

    pub(crate) fn state(self) -> ReplicaCountState {
        self.build().into()
    }
}

/// Builds a Deployment.
pub(crate) struct TargetBuilder(Value);

impl TargetBuilder {
    /// Begins with 3 replicas, of which 2 are ready.
    pub(crate) fn new(name: &str) -> Self {
        Self(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": "u", "resourceVersion": "7"},
            "spec": {"replicas": 3}, "status": {"readyReplicas": 2},
        }))
    }

    /// Adds fields to the metadata.
    pub(crate) fn metadata(mut self, fields: Value) -> Self {
        merge(&mut self.0["metadata"], fields);
        self
    }

    pub(crate) fn labels(self, labels: Value) -> Self {
        self.metadata(json!({"labels": labels}))
    }

    /// Another object controls the target, as a Deployment controls its ReplicaSets.
    pub(crate) fn controlled_by(self, kind: &str, name: &str) -> Self {
        let owners = json!([
            {"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "x"},
            {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "y", "controller": true},
        ]);
        self.metadata(json!({"ownerReferences": owners}))
    }

    /// A field manager applied the count.
    pub(crate) fn applied_by(self, manager: &str) -> Self {
        self.owned_by(managed_fields_entry(manager, Operation::Apply, None))
    }

    /// A field manager wrote the count through `/scale`.
    pub(crate) fn scaled_by(self, manager: &str) -> Self {
        self.owned_by(managed_fields_entry(manager, Operation::Update, Some("scale")))
    }

    fn owned_by(mut self, entry: Value) -> Self {
        let entries = &mut self.0["metadata"]["managedFields"];
        match entries.as_array_mut() {
            Some(entries) => entries.push(entry),
            None => *entries = json!([entry]),
        }
        self
    }

    /// The object as JSON.
    pub(crate) fn object(self) -> Value {
        self.0
    }

    pub(crate) fn build(self) -> Target {
        serde_json::from_value(self.0).unwrap()
    }

    pub(crate) fn state(self) -> TargetState {
        self.build().state
    }
}

/// An entry in managedFields that owns `.spec.replicas` among other fields.
pub(crate) fn managed_fields_entry(manager: &str, operation: Operation, subresource: Option<&str>) -> Value {
    json!({
        "manager": manager, "operation": operation.to_string(), "subresource": subresource,
        "time": "2026-01-01T00:00:00Z", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:replicas": {}, "f:template": {}}},
    })
}

fn merge(object: &mut Value, fields: Value) {
    json_patch::merge(object, &fields);
}
