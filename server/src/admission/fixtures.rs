//! Reviews for tests, in the form in which the API server sends them. Every object is in the namespace `shop`.

use serde_json::{Value, json};

/// Builds a review of the Deployment `web`, by alice.
pub(crate) struct ReviewBuilder(Value);

impl ReviewBuilder {
    /// An update of the count, from version 10 on.
    pub(crate) fn update(from: i32, to: i32) -> Self {
        let request = json!({
            "uid": "r", "operation": "UPDATE", "namespace": "shop", "name": "web",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "userInfo": {"username": "alice", "uid": "1", "groups": ["developers"], "extra": {"x": ["y"]}},
            "object": deployment(to), "oldObject": deployment(from), "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "UpdateOptions"},
        });
        Self(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}))
    }

    /// A creation.
    pub(crate) fn create(count: i32) -> Self {
        Self::update(count, count).with("/request/operation", json!("CREATE")).with("/request/oldObject", Value::Null)
    }

    /// A write through `/scale`. A 0 is left out.
    pub(crate) fn scale(from: i32, to: i32) -> Self {
        let scale = |count: i32| {
            let spec = if count == 0 { json!({}) } else { json!({"replicas": count}) };
            json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "10"}, "spec": spec})
        };
        Self::update(from, to)
            .with("/request/kind", json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}))
            .with("/request/subResource", json!("scale"))
            .with("/request/object", scale(to))
            .with("/request/oldObject", scale(from))
    }

    /// A write of the `ReplicaCount` of `web`.
    pub(crate) fn replica_count(object: &Value, old: &Value) -> Self {
        let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
        Self::update(1, 1)
            .with("/request/operation", json!(operation))
            .with("/request/name", json!("deployment.web"))
            .with(
                "/request/kind",
                json!({"group": "replica-count-manager.io", "version": "v1", "kind": "ReplicaCount"}),
            )
            .with(
                "/request/resource",
                json!({"group": "replica-count-manager.io", "version": "v1", "resource": "replicacounts"}),
            )
            .with("/request/object", object.clone())
            .with("/request/oldObject", old.clone())
    }

    /// By another user.
    pub(crate) fn by(self, user: &str) -> Self {
        self.with("/request/userInfo/username", json!(user))
    }

    /// Nothing is stored.
    pub(crate) fn dry_run(self) -> Self {
        self.with("/request/dryRun", json!(true))
    }

    /// Replaces what is at a JSON pointer, or adds it.
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        self.0.pointer_mut(parent).unwrap()[field] = value;
        self
    }

    /// The body.
    pub(crate) fn build(self) -> Value {
        self.0
    }
}

fn deployment(count: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "10"},
        "spec": {"replicas": count, "template": {"spec": {"containers": [{"name": "web"}]}}},
    })
}
