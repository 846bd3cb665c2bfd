//! `ReplicaCount`, the custom resource that stores all state: the desired count, and what the server observed.

use contract::names::CORE_GROUP;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    condition::Condition,
    exact_time,
    key::{InvalidTarget, TargetKey},
    replica_count_history::{Attempt, Change, Drift, Drifter},
};

/// The replica count of one target.
///
/// Its name is `<kind in lower case>[.<group>, unless apps].<target name>`, so a target can have only one. The core group
/// is called `core` there.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "replica-count-manager.io",
    version = "v1",
    kind = "ReplicaCount",
    namespaced,
    shortname = "rcount",
    status = "ReplicaCountStatus",
    derive = "PartialEq",
    doc = "Holds the replica count of one target: the server keeps the target at the desired count.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.observed"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.observed"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.readyOfDesired"),
    printcolumn(name = "Drifts", type_ = "integer", json_path = ".status.drifts"),
    printcolumn(name = "Last drift by", type_ = "string", json_path = ".status.lastDrift.manager"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "self.metadata.name == self.spec.scaleTargetRef.kind.lowerAscii() + (self.spec.scaleTargetRef.apiVersion.startsWith('apps/') ? '' : self.spec.scaleTargetRef.apiVersion.contains('/') ? '.' + self.spec.scaleTargetRef.apiVersion.split('/')[0] : '.core') + '.' + self.spec.scaleTargetRef.name"
    )
    .message("metadata.name must be <kind in lower case>[.<group>, unless apps].<target name>, such as deployment.web, rollout.argoproj.io.web or replicationcontroller.core.web")
)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCountSpec {
    /// The target. Its group, kind and name cannot change; its version can.
    #[x_kube(
        validation = Rule::new("self.kind == oldSelf.kind && self.name == oldSelf.name && (self.apiVersion.contains('/') ? self.apiVersion.split('/')[0] : 'core') == (oldSelf.apiVersion.contains('/') ? oldSelf.apiVersion.split('/')[0] : 'core')")
            .message("the group, kind and name of scaleTargetRef are immutable: delete this ReplicaCount and create another")
    )]
    pub scale_target_ref: ScaleTargetRef,

    /// The lasting count, in replicas. It is the desired count while no override is in force.
    #[schemars(range(min = 0))]
    pub replicas: i32,

    /// The count before the target was managed, in replicas. `unset --restore` writes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub original_replicas: Option<i32>,

    /// Why the count was set. For people only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// A desired count that takes precedence over the lasting count until its end. After its end it has no effect.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_: Option<Override>,
}

/// Names the target of a `ReplicaCount`. It is in the namespace of the `ReplicaCount`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// The group and version, such as `apps/v1`; `v1` for the core group.
    #[schemars(length(max = 316), regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]+$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('core/')").message("the core group has no name here: write v1"))]
    pub api_version: String,

    /// The kind, such as `Deployment`. It cannot be `ReplicaCount`.
    #[schemars(length(max = 63), regex(pattern = r"^[A-Za-z][A-Za-z0-9]*$"))]
    #[x_kube(validation = Rule::new("self.lowerAscii() != 'replicacount'").message("a ReplicaCount cannot be the target of another"))]
    pub kind: String,

    /// The name of the target.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A desired count with an end.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The desired count while the override is in force, in replicas.
    #[schemars(range(min = 0))]
    pub replicas: i32,

    /// When the override ends. The time must be before the year 9999.
    #[x_kube(validation = Rule::new("self < timestamp('9999-01-01T00:00:00Z')").message("until must be before the year 9999"))]
    #[serde(serialize_with = "exact_time::serialize", deserialize_with = "exact_time::deserialize")]
    pub until: Time,

    /// Why the override was set. For people only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// Whether the server deletes this ReplicaCount when the override ends, so that the target is no longer managed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub then_unset: bool,
}

/// What the server observed of a target, and what it did.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCountStatus {
    /// The generation of the spec on which the rest of the status is based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The counts and reasons of that generation, with which those of the next one are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_spec: Option<ObservedSpec>,

    /// The desired count, in replicas: the override's while it is in force, otherwise the lasting count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,

    /// The observed count, in replicas: the one in the target's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<i32>,

    /// The number of the target's ready replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,

    /// The number of ready replicas and the desired count, as `3/3`. `kubectl get` shows it as it shows Deployments, and
    /// terminal tools read the count to scale from there. The first number is `-` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_of_desired: Option<String>,

    /// The number of drifts that the server has seen since this ReplicaCount was created. A drift is a write by another
    /// program that makes the observed count differ from the desired count.
    #[serde(default)]
    pub drifts: i64,

    /// The latest drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drift: Option<Box<Drift>>,

    /// The UID of the target that the server saw last. Another object of the same name has a past of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_uid: Option<String>,

    /// The field managers that apply the target's count by server-side apply. A single one gets the ownership of the
    /// count back. Of several none does, because each would meet a conflict with the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appliers: Vec<String>,

    /// The drifts, the latest first. At most 20 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_drifts: Vec<Drift>,

    /// The field managers that caused drifts, the latest first. At most 5 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifters: Vec<Drifter>,

    /// The changes of the lasting count, of the override and of their reasons, the latest first. At most 20 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,

    /// The number of attempts to change the count that the server has prevented since this ReplicaCount was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: i64,

    /// The latest attempt to change the count that the server has prevented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Box<Attempt>>,

    /// What admission does for the target: `guarded` if writes of another count are refused, `recorded` if the server
    /// learns who makes them. Empty if it does neither, or if the server has not tested it yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub admission: String,

    /// Ready: the target is at its desired count, and at least as many replicas are ready. TargetFound: the target exists.
    /// Contested: an autoscaler or another program keeps changing the count too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The counts and reasons of a spec.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedSpec {
    /// The lasting count, in replicas.
    pub replicas: i32,
    /// Why the lasting count was set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The override.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_: Option<Override>,
}

impl From<&ReplicaCountSpec> for ObservedSpec {
    fn from(spec: &ReplicaCountSpec) -> Self {
        Self { replicas: spec.replicas, reason: spec.reason.clone(), override_: spec.override_.clone() }
    }
}

impl ReplicaCountSpec {
    /// The override, while it is in force.
    pub(crate) fn active_override(&self, now: Timestamp) -> Option<&Override> {
        self.override_.as_ref().filter(|o| o.until.0 > now)
    }

    /// The desired count. `None` after the end of an override that also ends the management.
    pub(crate) fn desired(&self, now: Timestamp) -> Option<i32> {
        match &self.override_ {
            Some(o) if o.until.0 > now => Some(o.replicas),
            Some(o) if o.then_unset => None,
            _ => Some(self.replicas),
        }
    }
}

impl ScaleTargetRef {
    /// The key of the target, which is in the namespace of the `ReplicaCount`.
    ///
    /// # Errors
    ///
    /// When this names no valid target.
    pub(crate) fn key(&self, namespace: &str) -> Result<TargetKey, InvalidTarget> {
        let group = match self.api_version.split_once('/') {
            None if self.api_version.is_empty() => return Err(InvalidTarget::ApiVersion),
            None => CORE_GROUP,
            Some(("" | CORE_GROUP, _)) => return Err(InvalidTarget::ApiVersion),
            Some((group, _version)) => group,
        };
        TargetKey::new(namespace, group, &self.kind, &self.name)
    }
}

impl ReplicaCount {
    /// The target's key.
    ///
    /// # Errors
    ///
    /// When the object names no valid target. The CRD's schema allows no such object.
    pub(crate) fn target(&self) -> Result<TargetKey, InvalidTarget> {
        self.spec.scale_target_ref.key(self.metadata.namespace.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::resources::{ScaleTargetRef, TargetKind, fixtures::ReplicaCountBuilder};

    #[test]
    fn a_target_has_the_group_of_its_api_version() {
        for (api_version, kind, expected) in [
            ("apps/v1", "Deployment", Some("deployment.web")),
            ("argoproj.io/v1alpha1", "Rollout", Some("rollout.argoproj.io.web")),
            ("v1", "ReplicationController", Some("replicationcontroller.core.web")),
            ("core/v1", "ReplicationController", None),
            ("/v1", "ReplicationController", None),
            ("", "ReplicationController", None),
            ("replica-count-manager.io/v1", "ReplicaCount", None),
        ] {
            let name = "web".to_owned();
            let target = ScaleTargetRef { api_version: api_version.to_owned(), kind: kind.to_owned(), name };
            let key = target.key("shop").ok();
            assert_eq!(key.map(|key| key.replica_count_name()).as_deref(), expected, "{api_version} {kind}");
        }
    }

    #[test]
    fn built_in_kinds_have_the_names_of_kubernetes() {
        let names: Vec<_> = TargetKind::built_in()
            .iter()
            .map(|kind| (kind.group_kind.to_string(), kind.resource()))
            .map(|(name, resource)| {
                format!("{name}: {:?} {} {}", resource.group, resource.api_version, resource.plural)
            })
            .collect();
        assert_eq!(
            names,
            [
                "Deployment.apps: \"apps\" apps/v1 deployments",
                "StatefulSet.apps: \"apps\" apps/v1 statefulsets",
                "ReplicaSet.apps: \"apps\" apps/v1 replicasets",
                "ReplicationController.core: \"\" v1 replicationcontrollers",
            ]
        );
    }

    fn override_until(until: &str, then_unset: bool) -> Value {
        json!({"override": {"replicas": 10, "until": until, "thenUnset": then_unset}})
    }

    #[test]
    fn an_override_is_in_force_until_its_end() {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let (before, after) = ("2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z");
        for (spec, desired) in [
            (json!({}), Some(3)),
            (override_until(after, false), Some(10)),
            (override_until(before, false), Some(3)),
            (override_until(after, true), Some(10)),
            (override_until(before, true), None),
        ] {
            let count = ReplicaCountBuilder::new("web").spec(spec.clone()).build();
            assert_eq!(count.spec.desired(now), desired, "{spec}");
        }
    }
}
