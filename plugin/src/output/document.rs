//! Replica counts for programs, as JSON and YAML. Their shape is stable and independent of the gRPC messages.
//!
//! `list` writes one `ReplicaCountViewList` with its `items`, `get` one `ReplicaCountView`. They describe targets, and
//! are no objects of the API: `export` writes `ReplicaCount`s for `kubectl apply`. Absent and unknown values are left
//! out. Times are RFC 3339. The API version changes when a field is removed or changes its meaning.
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
//!   lastDrift: {manager: kubectl, operation: Update, subresource: scale, from: 3, to: 7, at: …, correctedAt: …}
//!   appliers: [helm]
//!   drifters: [{manager: kubectl, count: 1, from: 3, to: 7, last: …}]
//!   changes: [{from: 2, to: 3, by: alice, reason: load test, at: …}]
//!   conditions: [{type: Ready, status: "True", reason: …, message: …, lastTransitionTime: …}]
//!   resourceVersion: "42"
//! ```

use contract::replicas::v1;
use jiff::Timestamp;
use serde::Serialize;

use crate::time::from_proto;

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

/// The content of a list of replica counts.
#[derive(Debug, Serialize)]
pub(crate) struct Items {
    items: Vec<ReplicaCount>,
}

/// The document of several replica counts.
pub(crate) fn list(counts: Vec<v1::ReplicaCount>) -> Document<Items> {
    let items = counts.into_iter().map(ReplicaCount::from).collect();
    Document { api_version: API_VERSION, kind: "ReplicaCountViewList", content: Items { items } }
}

/// The document of one replica count.
pub(crate) fn one(count: v1::ReplicaCount) -> Document<ReplicaCount> {
    Document { api_version: API_VERSION, kind: "ReplicaCountView", content: count.into() }
}

/// The content of one replica count.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaCount {
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
    resource_version: String,
}

#[derive(Debug, Serialize)]
struct Target {
    namespace: String,
    group: String,
    kind: String,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Override {
    replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    then_unset: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Drift {
    #[serde(skip_serializing_if = "is_zero")]
    number: i64,
    manager: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Drifter {
    manager: String,
    count: i64,
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Change {
    #[serde(skip_serializing_if = "is_zero")]
    number: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<i32>,
    to: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<Timestamp>,
}

/// An older server numbers nothing.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn time(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.as_ref().and_then(from_proto)
}

impl From<v1::ReplicaCount> for ReplicaCount {
    fn from(count: v1::ReplicaCount) -> Self {
        Self {
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
            resource_version: count.resource_version,
        }
    }
}

impl From<v1::Target> for Target {
    fn from(v1::Target { namespace, group, kind, name }: v1::Target) -> Self {
        Self { namespace, group, kind, name }
    }
}

impl From<v1::Override> for Override {
    fn from(v1::Override { replicas, until, reason, then_unset }: v1::Override) -> Self {
        Self { replicas, until: time(until), reason, then_unset }
    }
}

impl From<v1::Drift> for Drift {
    fn from(v1::Drift { number, manager, operation, subresource, from, to, at, corrected_at }: v1::Drift) -> Self {
        Self { number, manager, operation, subresource, from, to, at: time(at), corrected_at: time(corrected_at) }
    }
}

impl From<v1::Drifter> for Drifter {
    fn from(v1::Drifter { manager, count, from, to, last }: v1::Drifter) -> Self {
        Self { manager, count, from, to, last: time(last) }
    }
}

impl From<v1::Change> for Change {
    fn from(v1::Change { number, field, from, to, by, reason, at }: v1::Change) -> Self {
        Self { number, field, from, to, by, reason, at: time(at) }
    }
}

impl From<v1::Condition> for Condition {
    fn from(v1::Condition { r#type, status, reason, message, last_transition_time }: v1::Condition) -> Self {
        Self { r#type, status, reason, message, last_transition_time: time(last_transition_time) }
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
    fn one_count_is_its_own_document() {
        let document = serde_json::to_value(one(v1::ReplicaCount::default())).unwrap();
        assert_eq!(document["kind"], "ReplicaCountView");
        assert_eq!(document["drifts"], 0);
    }
}
