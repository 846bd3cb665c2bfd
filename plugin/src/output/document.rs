//! Replica counts for programs, as JSON and YAML. Their shape is stable and independent of the gRPC messages.
//!
//! `list` writes one `ReplicaCountViewList` with its `items`, and `get` one `ReplicaCountView`, or a list if several
//! targets are named. They describe targets, and are no objects of the API: `export` writes `ReplicaCount`s for `kubectl
//! apply`. Absent and unknown values are left out. Times are RFC 3339. The API version changes when a field is removed or
//! changes its meaning.
//!
//! With `--contexts`, both write a `ReplicaCountViewList`, and each item has the field `cluster`: the kubeconfig's
//! context.
//!
//! With `--watch`, both write a `ReplicaCountView` for each target, and another one whenever it changes: in JSON one a
//! line, in YAML one a document. A target that is unset, deleted or no longer selected becomes a `ReplicaCountView` with
//! nothing but `target` and `removed: true`. `recentDrifts` is absent, as in a list.
//!
//! ```yaml
//! apiVersion: cli.replica-count-manager.io/v1
//! kind: ReplicaCountViewList
//! items:
//! - target: {namespace: shop, group: apps, kind: Deployment, name: web}
//!   desired: 3
//!   observed: 3
//!   ready: 3
//!   replicas: 3
//!   originalReplicas: 2
//!   reason: load test
//!   setBy: alice
//!   override: {replicas: 10, until: "2026-11-23T09:00:00Z", reason: sale, thenUnset: false}
//!   drifts: 1
//!   lastDrift: {user: bob, manager: kubectl, operation: Update, subresource: scale, from: 3, to: 7, at: …, …}
//!   appliers: [helm]
//!   drifters: [{manager: kubectl, user: bob, count: 1, from: 3, to: 7, last: …}]
//!   changes: [{from: 2, to: 3, by: alice, reason: load test, at: …}]
//!   conditions: [{type: Ready, status: "True", reason: …, message: …, lastTransitionTime: …}]
//!   admission: guarded                # or recorded
//!   attempts: 2                       # writes that the guard kept from being stored
//!   lastAttempt: {user: bob, manager: kubectl, from: 3, to: 7, at: …, verdict: denied}
//!   resourceVersion: "42"
//! ```

mod parts;

use contract::replicas::v1;
use serde::Serialize;

pub(super) use self::parts::{Attempt, Change, Drift, Target};
use self::parts::{Condition, Drifter, Override, is_zero};

/// The version of these documents.
const API_VERSION: &str = "cli.replica-count-manager.io/v1";

/// An object with its version and kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<T> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    content: T,
}

/// The document of another kind.
pub(crate) const fn of_kind<T>(kind: &'static str, content: T) -> Document<T> {
    Document { api_version: API_VERSION, kind, content }
}

/// The content of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Items<T> {
    items: Vec<T>,
}

/// The document of several documents of another kind, which become its items.
pub(crate) fn list_of_kind<T>(kind: &'static str, documents: Vec<Document<T>>) -> Document<Items<T>> {
    of_kind(kind, Items { items: documents.into_iter().map(|document| document.content).collect() })
}

/// The document of several replica counts.
pub(crate) fn list(counts: Vec<v1::ReplicaCount>) -> Document<Items<ReplicaCount>> {
    let items = counts.into_iter().map(ReplicaCount::from).collect();
    Document { api_version: API_VERSION, kind: "ReplicaCountViewList", content: Items { items } }
}

/// The document of the replica counts of several contexts, each with its context.
pub(crate) fn of_contexts(counts: Vec<(String, v1::ReplicaCount)>) -> Document<Items<ReplicaCount>> {
    let of_context =
        |(context, count): (String, v1::ReplicaCount)| ReplicaCount { cluster: Some(context), ..count.into() };
    let items = counts.into_iter().map(of_context).collect();
    Document { api_version: API_VERSION, kind: "ReplicaCountViewList", content: Items { items } }
}

/// The content of a target that a watch no longer covers.
#[derive(Debug, Serialize)]
pub(crate) struct Removed {
    target: Target,
    removed: bool,
}

/// The document of a target that a watch no longer covers.
pub(crate) fn removed(target: v1::Target) -> Document<Removed> {
    let content = Removed { target: target.into(), removed: true };
    Document { api_version: API_VERSION, kind: "ReplicaCountView", content }
}

/// The document of one replica count.
pub(crate) fn one(count: v1::ReplicaCount) -> Document<ReplicaCount> {
    Document { api_version: API_VERSION, kind: "ReplicaCountView", content: count.into() }
}

/// The content of one replica count.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaCount {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    target: Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_replicas: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    set_by: String,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    override_: Option<Override>,
    drifts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_drift: Option<Drift>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    appliers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drifters: Vec<Drifter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recent_drifts: Vec<Drift>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "String::is_empty")]
    admission: String,
    #[serde(skip_serializing_if = "is_zero")]
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<Attempt>,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
}

impl From<v1::ReplicaCount> for ReplicaCount {
    fn from(count: v1::ReplicaCount) -> Self {
        Self {
            cluster: None,
            target: count.target.unwrap_or_default().into(),
            desired: count.desired,
            observed: count.observed,
            ready: count.ready,
            replicas: count.replicas,
            original_replicas: count.original_replicas,
            reason: count.reason,
            set_by: count.set_by,
            override_: count.r#override.map(Into::into),
            drifts: count.drifts,
            last_drift: count.last_drift.map(Into::into),
            appliers: count.appliers,
            drifters: count.drifters.into_iter().map(Into::into).collect(),
            changes: count.changes.into_iter().map(Into::into).collect(),
            recent_drifts: count.recent_drifts.into_iter().map(Into::into).collect(),
            conditions: count.conditions.into_iter().map(Into::into).collect(),
            admission: count.admission,
            attempts: count.attempts,
            last_attempt: count.last_attempt.map(Into::into),
            resource_version: count.resource_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_has_a_kind_and_leaves_out_absent_values() {
        let target = v1::Target {
            namespace: "shop".to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
        };
        let until = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        let count = v1::ReplicaCount {
            target: Some(target),
            desired: Some(0),
            r#override: Some(v1::Override { replicas: Some(10), until, ..v1::Override::default() }),
            ..v1::ReplicaCount::default()
        };
        let expected = json!({
            "apiVersion": "cli.replica-count-manager.io/v1",
            "kind": "ReplicaCountViewList",
            "items": [{
                "target": {"namespace": "shop", "group": "apps", "kind": "Deployment", "name": "web"},
                "desired": 0,
                "override": {"replicas": 10, "until": "1970-01-01T00:00:00Z", "thenUnset": false},
                "drifts": 0,
            }],
        });
        assert_eq!(serde_json::to_value(list(vec![count])).unwrap(), expected);
    }

    #[test]
    fn an_item_of_several_contexts_names_its_cluster() {
        let document = of_contexts(vec![("prod-1".to_owned(), v1::ReplicaCount::default())]);
        let document = serde_json::to_value(document).unwrap();
        assert_eq!((&document["items"][0]["cluster"], &document["items"][0]["drifts"]), (&"prod-1".into(), &0.into()));
    }

    #[test]
    fn a_removed_target_is_distinguishable() {
        let target = v1::Target { name: "web".to_owned(), ..v1::Target::default() };
        let document = serde_json::to_value(removed(target)).unwrap();
        assert_eq!((&document["kind"], &document["removed"]), (&"ReplicaCountView".into(), &true.into()));
        assert_eq!((&document["target"]["name"], &document["drifts"]), (&"web".into(), &json!(null)));
    }

    #[test]
    fn people_and_attempts_are_named_where_known() {
        let [user, manager, verdict] = ["bob", "kubectl", "denied"].map(str::to_owned);
        let drifter = |user: &str| v1::Drifter { user: user.to_owned(), ..v1::Drifter::default() };
        let attempt = v1::Attempt { user: user.clone(), manager, verdict, ..v1::Attempt::default() };
        let count = v1::ReplicaCount {
            last_drift: Some(v1::Drift { user, ..v1::Drift::default() }),
            drifters: vec![drifter("bob"), drifter("")],
            admission: "guarded".to_owned(),
            attempts: 2,
            last_attempt: Some(attempt),
            ..v1::ReplicaCount::default()
        };
        let document = serde_json::to_value(one(count)).unwrap();
        assert_eq!(document["lastDrift"]["user"], "bob");
        assert_eq!((&document["drifters"][0]["user"], document["drifters"][1].get("user")), (&json!("bob"), None));
        assert_eq!((&document["admission"], &document["attempts"]), (&json!("guarded"), &json!(2)));
        let attempt = json!({"user": "bob", "manager": "kubectl", "from": null, "to": null, "verdict": "denied"});
        assert_eq!(document["lastAttempt"], attempt);
    }

    #[test]
    fn several_documents_of_another_kind_are_items_of_one() {
        let documents = ["a", "b"].map(|name| of_kind("View", json!({"name": name})));
        let expected = json!({
            "apiVersion": "cli.replica-count-manager.io/v1", "kind": "ViewList", "items": [{"name": "a"}, {"name": "b"}],
        });
        let list = list_of_kind("ViewList", documents.into());
        assert_eq!(serde_json::to_value(list).unwrap(), expected);
    }

    #[test]
    fn one_count_is_its_own_document() {
        let document = serde_json::to_value(one(v1::ReplicaCount::default())).unwrap();
        assert_eq!(document["kind"], "ReplicaCountView");
        assert_eq!(document["drifts"], 0);
    }
}
