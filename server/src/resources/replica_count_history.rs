//! What the status of a `ReplicaCount` remembers: drifts, their actors, and changes of the spec.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A write by another program that makes a target's count differ from the desired count.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The number of the drift: 1 is the first one since this ReplicaCount was created.
    #[serde(default)]
    pub number: i64,
    /// The field manager that wrote the count. It is a program, not a person.
    pub manager: Arc<str>,
    /// How it wrote: `Update` or `Apply`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub operation: Arc<str>,
    /// The subresource that it wrote to: `scale`, or empty for the object itself.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub subresource: Arc<str>,
    /// The count before the drift, in replicas.
    pub from: i32,
    /// The count that the field manager wrote, in replicas.
    pub to: i32,
    /// When the server saw the drift.
    pub at: MicroTime,
    /// When the target was back at its desired count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_at: Option<MicroTime>,
}

/// A field manager that caused drifts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drifter {
    /// The name of the field manager.
    pub manager: String,
    /// The number of its drifts that the server has seen.
    pub count: i64,
    /// The count before its latest drift, in replicas.
    pub from: i32,
    /// The count that its latest drift wrote, in replicas.
    pub to: i32,
    /// When the server saw its latest drift.
    pub last: MicroTime,
}

/// A change of the lasting count, of the override, or of a reason.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The number of the change: 1 is the first one since this ReplicaCount was created.
    #[serde(default)]
    pub number: i64,
    /// The field that changed: `replicas` is the lasting count, `override` its override, `reason` the reason of either.
    /// `spec` is several of them, of changes that the leader did not see one by one.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub field: Arc<str>,
    /// The count before the change, in replicas: the lasting count, or the desired count if the override changed. Absent
    /// if the target was not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// The count after the change, in replicas.
    pub to: i32,
    /// The user of the server's gRPC API who changed it, or the field manager that wrote it directly. Empty if it
    /// changed because an override ended, `unknown` if Kubernetes does not say, and `several, unseen` if it changed more
    /// than once and the leader saw only the last state.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub by: Arc<str>,
    /// Why it changed. For people only.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Arc<str>,
    /// When the server saw the change.
    pub at: MicroTime,
}
