//! Targets as the API server sends them, and the part of them that the server stores.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::{DynamicObject, DynamicResourceScope, Resource};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{
    field_owners::{self, FieldOwners},
    group_kind::GroupKind,
    key::TargetKey,
    kind::TargetKind,
    labels::Labels,
    resource_version::{parse_resource_version, resource_version},
    text::beginning,
    uid::Uid,
};

/// The part of a target that the server stores. There is one per target, so each field costs memory 100,000 times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetState {
    /// The UID.
    pub uid: Uid,
    /// The resource version, as a number.
    pub resource_version: u64,
    /// The count in its spec, in replicas. `None` if the field is absent or is not a count.
    pub replicas: Option<i32>,
    /// Its ready replicas. `None` if the object does not say.
    pub ready: Option<i32>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The owner that controls it (`controller: true` in its owner references), such as `Deployment web`.
    pub controller: Option<Box<str>>,
    /// Its labels.
    pub labels: Labels,
    /// The field managers that own its count or apply the target.
    pub owners: FieldOwners,
}

impl TargetState {
    /// Reads an object of any kind.
    pub(crate) fn of(object: &DynamicObject, kind: &TargetKind) -> Self {
        let metadata = &object.metadata;
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: resource_version(metadata),
            replicas: kind.replicas.count_in(&object.data),
            ready: kind.ready.path.count_in(&object.data).or(kind.ready.absent),
            deleting: metadata.deletion_timestamp.is_some(),
            controller: controller(metadata.owner_references.as_deref().unwrap_or_default()),
            labels: metadata.labels.as_ref().map(Labels::from).unwrap_or_default(),
            owners: FieldOwners::of_target(metadata.managed_fields.as_deref().unwrap_or_default(), kind),
        }
    }
}

/// The longest kind, in bytes: a CRD can name no longer one.
const MAX_KIND: usize = 63;

/// The longest name of an object, in bytes (RFC 1123 subdomain).
const MAX_NAME: usize = 253;

/// The owner that controls an object. The API server checks only that its kind and its name are not empty.
fn controller(owners: &[OwnerReference]) -> Option<Box<str>> {
    let controller = owners.iter().find(|owner| owner.controller == Some(true))?;
    let (kind, name) = (beginning(&controller.kind, MAX_KIND), beginning(&controller.name, MAX_NAME));
    Some(format!("{kind} {name}").into())
}

/// A target of the group `apps`, read without the fields that the server does not store: 100,000 whole Deployments take
/// gigabytes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name, namespace and resource version, which kube needs to watch the object.
    pub metadata: ObjectMeta,
    /// The rest of what the server stores.
    pub state: TargetState,
}

/// The key of an object. `None` if it has no name or namespace, which the API server never sends.
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
    /// Not read, because the API server stores times that our types cannot hold.
    deletion_timestamp: Option<IgnoredAny>,
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

/// The status of a kind of the group `apps`. These kinds leave out a count of 0.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireStatus {
    ready_replicas: i32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::fixtures::TargetBuilder;

    #[test]
    fn the_slim_form_and_the_whole_object_lead_to_the_same_state() {
        let builder = TargetBuilder::new("web-1").labels(json!({"app": "web"}));
        let mut object = builder.controlled_by("Deployment", "web").applied_by("helm").object();
        object["status"] = json!({});
        let slim: Target = serde_json::from_value(object.clone()).unwrap();
        let whole: DynamicObject = serde_json::from_value(object).unwrap();
        assert_eq!(slim.state, TargetState::of(&whole, &TargetKind::apps()[2]));
        assert_eq!(slim.state.controller.as_deref(), Some("Deployment web"));
        assert_eq!((slim.state.replicas, slim.state.ready), (Some(3), Some(0)));
    }

    #[test]
    fn a_controller_is_kept_up_to_the_longest_kind_and_name() {
        struct Row {
            name: &'static str,
            /// How long the kind and the name are, and how long they are kept.
            written: (usize, usize),
            kept: (usize, usize),
        }
        for row in [
            Row { name: "usual", written: (10, 3), kept: (10, 3) },
            Row { name: "the longest", written: (63, 253), kept: (63, 253) },
            Row { name: "a long kind", written: (64, 3), kept: (63, 3) },
            Row { name: "a huge name", written: (1, 1_300_000), kept: (1, 253) },
        ] {
            let text = |length: usize| "a".repeat(length);
            let object = TargetBuilder::new("web").controlled_by(&text(row.written.0), &text(row.written.1)).object();
            let slim: Target = serde_json::from_value(object.clone()).unwrap();
            let whole: DynamicObject = serde_json::from_value(object).unwrap();
            let expected = format!("{} {}", text(row.kept.0), text(row.kept.1));
            assert_eq!(slim.state.controller.as_deref(), Some(&*expected), "{}", row.name);
            assert_eq!(slim.state, TargetState::of(&whole, &TargetKind::apps()[0]), "{}", row.name);
        }
    }
}
