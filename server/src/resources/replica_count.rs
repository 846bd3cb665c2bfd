//! `ReplicaCount`, the custom resource that holds all state: what should hold, and what was seen.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{InvalidTarget, TargetKey};

/// The API group of `ReplicaCount`.
pub const GROUP: &str = "replica-count-manager.io";

/// The annotation that names the user of our API who set the lasting count.
///
/// It is believed only while this server is the last writer of `spec.replicas`: other writers leave it as it was.
pub const SET_BY: &str = "replica-count-manager.io/set-by";

/// The count that one target is held at.
///
/// Named `<kind in lower case>[.<group>, unless apps].<target name>`, so that no two can claim the same target.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "replica-count-manager.io",
    version = "v1",
    kind = "ReplicaCount",
    namespaced,
    shortname = "rcount",
    status = "ReplicaCountStatus",
    derive = "PartialEq",
    doc = "The replica count that one target is held at.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.observed"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.observed"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.ready"),
    printcolumn(name = "Drifts", type_ = "integer", json_path = ".status.drifts"),
    printcolumn(name = "Last drift by", type_ = "string", json_path = ".status.lastDrift.manager"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "self.metadata.name == self.spec.scaleTargetRef.kind.lowerAscii() + (self.spec.scaleTargetRef.apiVersion.startsWith('apps/') ? '' : '.' + self.spec.scaleTargetRef.apiVersion.split('/')[0]) + '.' + self.spec.scaleTargetRef.name"
    )
    .message("metadata.name must be <kind in lower case>[.<group>, unless apps].<target name>, such as deployment.web or rollout.argoproj.io.web")
)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCountSpec {
    /// The target. Its group, kind and name never change; its version may.
    #[x_kube(
        validation = Rule::new("self.kind == oldSelf.kind && self.name == oldSelf.name && self.apiVersion.split('/')[0] == oldSelf.apiVersion.split('/')[0]")
            .message("the group, kind and name of scaleTargetRef are immutable: delete this ReplicaCount and create another")
    )]
    pub scale_target_ref: ScaleTargetRef,

    /// The lasting count, in replicas.
    #[schemars(range(min = 0))]
    pub replicas: i32,

    /// The count from before the target was managed, in replicas: what `unset --restore` puts back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub original_replicas: Option<i32>,

    /// Why the count was set, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// Another count that takes precedence until its end. Afterwards it has no effect.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_: Option<Override>,
}

/// Names the target of a `ReplicaCount`, in its own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// The group and version, such as `apps/v1`.
    #[schemars(length(max = 316), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-z0-9]+$"))]
    pub api_version: String,

    /// The kind, such as `Deployment`; never `ReplicaCount`.
    #[schemars(length(max = 63), regex(pattern = r"^[A-Za-z][A-Za-z0-9]*$"))]
    #[x_kube(validation = Rule::new("self.lowerAscii() != 'replicacount'").message("a ReplicaCount cannot be the target of another"))]
    pub kind: String,

    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A desired count with an end.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The count, in replicas.
    #[schemars(range(min = 0))]
    pub replicas: i32,

    /// When it ends; before the year 9999.
    #[x_kube(validation = Rule::new("self < timestamp('9999-01-01T00:00:00Z')").message("until must be before the year 9999"))]
    pub until: Time,

    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,

    /// Whether the target stops being managed when the override ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub then_unset: bool,
}

/// What was seen of a target.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCountStatus {
    /// The generation of the spec that the rest of the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The count that should hold now, in replicas: the override's while it lasts, else the lasting one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,

    /// The count in the target's spec, in replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<i32>,

    /// The target's ready replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,

    /// How many drifts were seen since this object was created.
    #[serde(default)]
    pub drifts: i64,

    /// The latest drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drift: Option<Drift>,

    /// The field managers that apply the target's count by server-side apply: whom its ownership is given back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appliers: Vec<String>,

    /// Who caused drifts, the latest first; at most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifters: Vec<Drifter>,

    /// How the desired count changed, the latest first; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,

    /// Ready: the target is at its desired count and all its replicas are ready. TargetFound: it exists. Contested:
    /// somebody else decides about its count too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A change of a target's count by somebody else.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The field manager that wrote the count: a program, not a person.
    pub manager: String,
    /// How it wrote: Update or Apply.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// What it wrote to: `scale`, or nothing for the object itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// The count before, in replicas.
    pub from: i32,
    /// The count that was written, in replicas.
    pub to: i32,
    /// When it was seen.
    pub at: MicroTime,
    /// When the desired count was back in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_at: Option<MicroTime>,
}

/// A field manager that caused drifts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drifter {
    /// The field manager.
    pub manager: String,
    /// How many of its drifts were seen.
    pub count: i64,
    /// The count before its latest drift, in replicas.
    pub from: i32,
    /// The count that it wrote, in replicas.
    pub to: i32,
    /// When its latest drift was seen.
    pub last: MicroTime,
}

/// A change of the desired count.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The desired count before, in replicas; nothing if the target was not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// The desired count after, in replicas.
    pub to: i32,
    /// Who changed it: a user of our API, or another field manager.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was seen.
    pub at: MicroTime,
}

impl ReplicaCountSpec {
    /// The override, while it lasts.
    pub fn active_override(&self, now: Timestamp) -> Option<&Override> {
        self.override_.as_ref().filter(|o| o.until.0 > now)
    }

    /// The count that should hold now; `None` once an override that ends the management is over.
    pub fn desired(&self, now: Timestamp) -> Option<i32> {
        match &self.override_ {
            Some(o) if o.until.0 > now => Some(o.replicas),
            Some(o) if o.then_unset => None,
            _ => Some(self.replicas),
        }
    }
}

impl ReplicaCount {
    /// The target's key.
    ///
    /// # Errors
    ///
    /// When the object names no valid target, which the schema rules out for objects stored under it.
    pub fn target(&self) -> Result<TargetKey, InvalidTarget> {
        let target = &self.spec.scale_target_ref;
        let (group, _version) = target.api_version.split_once('/').ok_or(InvalidTarget::ApiVersion)?;
        TargetKey::new(self.metadata.namespace.as_deref().unwrap_or_default(), group, &target.kind, &target.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(until: Option<(&str, bool)>) -> ReplicaCountSpec {
        ReplicaCountSpec {
            scale_target_ref: ScaleTargetRef {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                name: "web".into(),
            },
            replicas: 3,
            original_replicas: None,
            reason: String::new(),
            override_: until.map(|(until, then_unset)| Override {
                replicas: 10,
                until: Time(until.parse().unwrap()),
                reason: String::new(),
                then_unset,
            }),
        }
    }

    #[test]
    fn an_override_holds_until_its_end_and_is_inert_afterwards() {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        for (until, desired) in [
            (None, Some(3)),
            (Some(("2026-01-01T12:00:01Z", false)), Some(10)),
            (Some(("2026-01-01T12:00:00Z", false)), Some(3)),
            (Some(("2026-01-01T12:00:01Z", true)), Some(10)),
            (Some(("2026-01-01T12:00:00Z", true)), None),
        ] {
            assert_eq!(spec(until).desired(now), desired, "{until:?}");
        }
    }
}
