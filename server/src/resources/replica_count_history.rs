//! What the status of a `ReplicaCount` remembers: drifts, their actors, attempts, and changes of the spec.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A write by another program that makes a target's count differ from the desired count, or removes it.
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
    /// The count before the drift, in replicas. Absent if the target had none, because somebody had removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// The count that the field manager wrote, in replicas. Absent if it removed the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i32>,
    /// When the server saw the drift.
    pub at: MicroTime,
    /// When the target was back at its desired count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_at: Option<MicroTime>,
    /// The user who wrote the count, as the API server names users. Empty if the server does not know.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub user: Arc<str>,
}

impl Drift {
    /// Who made it: the user, if one is known, and the field manager, as in `alice (kubectl)`.
    pub(crate) fn actor(&self) -> String {
        actor(&self.user, &self.manager)
    }
}

/// The field manager of a write that left no trace.
const UNKNOWN: &str = "unknown";

/// Writes a user and a program, as far as they are known.
fn actor(user: &str, manager: &str) -> String {
    match (user, manager) {
        ("", "") => "a user".to_owned(),
        ("", manager) => manager.to_owned(),
        (user, "" | UNKNOWN) => user.to_owned(),
        (user, manager) => format!("{user} ({manager})"),
    }
}

/// A field manager that caused drifts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drifter {
    /// The name of the field manager.
    pub manager: String,
    /// The number of its drifts that the server has seen.
    pub count: i64,
    /// The count before its latest drift, in replicas. Absent if the target had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// The count that its latest drift wrote, in replicas. Absent if it removed the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i32>,
    /// When the server saw its latest drift.
    pub last: MicroTime,
    /// The user who caused its latest drift. Empty if the server does not know.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub user: Arc<str>,
}

/// An attempt to change a count that the server has prevented at admission.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The user who made it, as the API server names users. Empty if the server records no users.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub user: Arc<str>,
    /// The field manager that the request names. Empty if it names none.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub manager: Arc<str>,
    /// The count before, in replicas. Absent if the target was being created, or had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// The count that the request asked for, in replicas. Absent if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i32>,
    /// When the server prevented it.
    pub at: MicroTime,
    /// What the server did: `kept` stored the rest of the write with the desired count, `denied` refused the write.
    pub verdict: Arc<str>,
}

impl Attempt {
    /// Who made it, as of a [`Drift`].
    pub(crate) fn actor(&self) -> String {
        actor(&self.user, &self.manager)
    }
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
    /// The user who changed it: of the server's gRPC API, or of the API server if admission has named one. Otherwise the
    /// field manager that wrote it directly. Empty if it changed because an override ended, `unknown` if Kubernetes does
    /// not say, and `several, unseen` if it changed more than once and the leader saw only the last state.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub by: Arc<str>,
    /// Why it changed. For people only.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Arc<str>,
    /// When the server saw the change.
    pub at: MicroTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_user_and_a_program_as_far_as_they_are_known() {
        for (user, manager, expected) in [
            ("alice", "kubectl", "alice (kubectl)"),
            ("alice", "", "alice"),
            ("alice", "unknown", "alice"),
            ("", "kubectl", "kubectl"),
            ("", "unknown", "unknown"),
            ("", "", "a user"),
        ] {
            assert_eq!(actor(user, manager), expected);
        }
    }
}
