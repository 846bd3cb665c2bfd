//! Kinds of targets as the API server serves them.

use std::{collections::BTreeMap, sync::LazyLock};

use contract::names::CORE_GROUP;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::ApiResource;

use super::{field_path::FieldPath, group_kind::GroupKind};

/// The field in which the objects of a kind say how many of their replicas are ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPath {
    /// The field.
    pub path: FieldPath,
    /// The number of ready replicas if the field is absent. `None` if the number is unknown then.
    pub absent: Option<i32>,
}

/// A kind of targets as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKind {
    /// The group and kind.
    pub group_kind: GroupKind,
    /// The served version, such as `v1`.
    pub version: String,
    /// The resource, such as `deployments`.
    pub plural: String,
    /// The field with the count.
    pub replicas: FieldPath,
    /// The field with the count in each other version of which it is known.
    pub other_replicas: BTreeMap<String, FieldPath>,
    /// The field with the number of ready replicas.
    pub ready: ReadyPath,
}

/// See [`TargetKind::built_in`].
static BUILT_IN: LazyLock<[TargetKind; 4]> = LazyLock::new(|| {
    let [deployment, stateful_set, replica_set] = TargetKind::apps();
    let controller = TargetKind {
        group_kind: GroupKind::new("ReplicationController", CORE_GROUP),
        plural: "replicationcontrollers".to_owned(),
        ..deployment.clone()
    };
    [deployment, stateful_set, replica_set, controller]
});

impl TargetKind {
    /// Deployment, StatefulSet and ReplicaSet.
    pub fn apps() -> [Self; 3] {
        let apps = |kind: &str, plural: &str| Self {
            group_kind: GroupKind::new(kind, "apps"),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            replicas: FieldPath::replicas(),
            other_replicas: BTreeMap::new(),
            ready: ReadyPath { path: FieldPath::new(".status.readyReplicas"), absent: Some(0) },
        };
        [apps("Deployment", "deployments"), apps("StatefulSet", "statefulsets"), apps("ReplicaSet", "replicasets")]
    }

    /// The kinds that every API server serves in the same way: those of the group `apps`, and ReplicationController.
    pub(crate) fn built_in() -> &'static [Self] {
        BUILT_IN.as_slice()
    }

    /// The field with the count in objects of a version. `None` if it is not known.
    pub(crate) fn replicas_in(&self, version: &str) -> Option<&FieldPath> {
        if version == self.version { Some(&self.replicas) } else { self.other_replicas.get(version) }
    }

    /// The field with the count in an entry of managedFields, which names the fields of the version in which it was written.
    /// If that version is not known, it is taken to have the count at the same place.
    pub(crate) fn replicas_in_entry(&self, entry: &ManagedFieldsEntry) -> &FieldPath {
        let version = entry.api_version.as_deref().and_then(|written| written.rsplit('/').next());
        version.and_then(|version| self.replicas_in(version)).unwrap_or(&self.replicas)
    }

    /// Whether it belongs to the group `apps`.
    pub(crate) fn is_in_apps(&self) -> bool {
        &*self.group_kind.group == "apps"
    }

    /// The group and version, such as `apps/v1`; the version alone for the core group.
    pub(crate) fn api_version(&self) -> String {
        match self.group_kind.api_group() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The kind for kube's dynamic client.
    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group_kind.api_group().to_owned(),
            version: self.version.clone(),
            api_version: self.api_version(),
            kind: self.group_kind.kind.to_string(),
            plural: self.plural.clone(),
        }
    }
}
