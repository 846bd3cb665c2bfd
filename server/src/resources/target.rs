//! Targets as the API server sends them, and the little of them that is kept.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::core::{DynamicObject, DynamicResourceScope, Resource};
use serde::{Deserialize, Deserializer};

use super::{FieldOwners, GroupKind, Labels, TargetKey, TargetKind, Uid, field_owners};

/// What is kept of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetState {
    /// The UID.
    pub uid: Uid,
    /// The resource version, as a number: versions of one resource can be compared (Kubernetes enhancement 5504).
    pub resource_version: u64,
    /// The count in its spec, in replicas.
    pub replicas: Option<i32>,
    /// Its ready replicas.
    pub ready: Option<i32>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The object that controls it, such as `Deployment web`.
    pub controller: Option<Box<str>>,
    /// Its labels.
    pub labels: Labels,
    /// Who wrote its count.
    pub owners: FieldOwners,
}

impl TargetState {
    /// What is kept of an object of any kind.
    pub fn of(object: &DynamicObject, kind: &TargetKind) -> Self {
        let metadata = &object.metadata;
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: resource_version(metadata),
            replicas: kind.replicas.count_in(&object.data),
            ready: kind.ready.path.count_in(&object.data).or(kind.ready.absent),
            deleting: metadata.deletion_timestamp.is_some(),
            controller: controller(metadata.owner_references.as_deref().unwrap_or_default()),
            labels: metadata.labels.as_ref().map(Labels::from).unwrap_or_default(),
            owners: FieldOwners::of(metadata.managed_fields.as_deref().unwrap_or_default(), &kind.replicas),
        }
    }
}

fn controller(owners: &[OwnerReference]) -> Option<Box<str>> {
    let controller = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(format!("{} {}", controller.kind, controller.name).into())
}

/// A target of the group `apps` as it comes off the wire. What is not kept is never stored: whole objects of 100,000
/// Deployments are gigabytes.
///
/// `metadata` holds only what `kube` needs to follow the object.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name, namespace and resource version.
    pub metadata: ObjectMeta,
    /// All else that is kept.
    pub state: TargetState,
}

/// The key of an object of a kind; `None` without a name, which the API server never sends.
pub fn key_of(metadata: &ObjectMeta, kind: &GroupKind) -> Option<TargetKey> {
    Some(TargetKey {
        namespace: metadata.namespace.as_deref()?.into(),
        kind: kind.clone(),
        name: metadata.name.as_deref()?.into(),
    })
}

impl Resource for Target {
    type DynamicType = TargetKind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &TargetKind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.group_kind.kind)
    }

    fn group(kind: &TargetKind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.group_kind.group)
    }

    fn version(kind: &TargetKind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.version)
    }

    fn plural(kind: &TargetKind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { metadata, spec, status } = Wire::deserialize(deserializer)?;
        Ok(Self {
            state: TargetState {
                uid: Uid::from(&*metadata.uid),
                resource_version: parse_resource_version(metadata.resource_version.as_deref().unwrap_or_default()),
                replicas: spec.replicas,
                ready: Some(status.ready_replicas),
                deleting: metadata.deletion_timestamp.is_some(),
                controller: controller(&metadata.owner_references),
                labels: Labels::from(&metadata.labels),
                owners: metadata.managed_fields,
            },
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                resource_version: metadata.resource_version,
                ..ObjectMeta::default()
            },
        })
    }
}

/// The resource version of an object as a number; 0 if it has none.
pub(crate) fn resource_version(metadata: &ObjectMeta) -> u64 {
    parse_resource_version(metadata.resource_version.as_deref().unwrap_or_default())
}

/// Reads a resource version as a number; one that is not (no API server has such) sorts before all others.
pub(crate) fn parse_resource_version(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

#[derive(Deserialize)]
struct Wire {
    metadata: WireMetadata,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMetadata {
    name: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    uid: Box<str>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "field_owners::deserialize")]
    managed_fields: FieldOwners,
}

#[derive(Default, Deserialize)]
struct WireSpec {
    replicas: Option<i32>,
}

/// The status of the kinds of `apps`, where an absent count is 0.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireStatus {
    ready_replicas: i32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_slim_form_and_the_whole_object_lead_to_the_same_state() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": {"app": "web"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "x"},
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "y", "controller": true},
                ],
                "managedFields": [{"manager": "helm", "operation": "Apply", "apiVersion": "apps/v1",
                                   "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
            },
            "spec": {"replicas": 3}, "status": {},
        });
        let slim: Target = serde_json::from_value(object.clone()).unwrap();
        let whole: DynamicObject = serde_json::from_value(object).unwrap();
        assert_eq!(slim.state, TargetState::of(&whole, &TargetKind::apps()[2]));
        assert_eq!(slim.state.controller.as_deref(), Some("Deployment web"));
        assert_eq!((slim.state.replicas, slim.state.ready), (Some(3), Some(0)));
    }
}
