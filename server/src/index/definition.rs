//! The part of a CRD that the server reads. Whatever else is in it, such as a deep schema, cannot make it unreadable.

use std::collections::BTreeMap;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, de::IgnoredAny};

use crate::resources::{FieldPath, ReadyPath};

/// A CRD.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = CustomResourceDefinition)]
pub(super) struct Definition {
    /// Not read: kube needs it only for watches.
    #[serde(skip)]
    metadata: ObjectMeta,
    pub(super) spec: DefinitionSpec,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct DefinitionSpec {
    pub(super) versions: Vec<DefinitionVersion>,
}

/// One version of the kind.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DefinitionVersion {
    pub(super) name: String,
    subresources: Option<Subresources>,
    schema: Option<Schema>,
}

#[derive(Clone, Debug, Deserialize)]
struct Subresources {
    scale: Option<ScaleSubresource>,
}

/// The fields with the counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScaleSubresource {
    spec_replicas_path: String,
    status_replicas_path: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Schema {
    #[serde(rename = "openAPIV3Schema")]
    object: Option<ObjectSchema>,
}

#[derive(Clone, Debug, Deserialize)]
struct ObjectSchema {
    properties: Option<ObjectProperties>,
}

#[derive(Clone, Debug, Deserialize)]
struct ObjectProperties {
    status: Option<StatusSchema>,
}

#[derive(Clone, Debug, Deserialize)]
struct StatusSchema {
    properties: Option<BTreeMap<String, IgnoredAny>>,
}

impl DefinitionVersion {
    /// The scale subresource, if the version has one.
    fn scale(&self) -> Option<&ScaleSubresource> {
        self.subresources.as_ref()?.scale.as_ref()
    }

    /// Whether the schema of the status has a field.
    fn has_status_field(&self, name: &str) -> bool {
        let properties = || {
            let object = self.schema.as_ref()?.object.as_ref()?.properties.as_ref()?;
            object.status.as_ref()?.properties.as_ref()
        };
        properties().is_some_and(|properties| properties.contains_key(name))
    }
}

/// The fields with the counts, according to a CRD.
///
/// A CRD does not say which field holds the ready replicas. Most kinds have `.status.readyReplicas`, as the group
/// `apps` has. If the schema has no such field, `statusReplicasPath` with the number of all replicas takes its place. An
/// absent number means 0, as for the API server's Scale: the kind's controller has not written it yet.
pub(super) fn paths_in(version: &DefinitionVersion) -> (FieldPath, ReadyPath) {
    let Some(scale) = version.scale() else { return default_paths() };
    let path = match version.has_status_field("readyReplicas") {
        true => default_paths().1.path,
        false => FieldPath::new(&scale.status_replicas_path),
    };
    (FieldPath::new(&scale.spec_replicas_path), ReadyPath { path, absent: Some(0) })
}

/// The field with the count in each version of a CRD but one. A version without a scale subresource does not name it.
pub(super) fn other_replicas(versions: &[DefinitionVersion], but: &str) -> BTreeMap<String, FieldPath> {
    let others = versions.iter().filter(|version| version.name != but);
    let paths = others.filter_map(|version| {
        let path = FieldPath::new(&version.scale()?.spec_replicas_path);
        Some((version.name.clone(), path)).filter(|(_, path)| !path.is_too_deep())
    });
    paths.collect()
}

/// The fields with the counts where no CRD names them. Nearly every kind has these fields. Only a CRD could say whether
/// an absent number of ready replicas means 0, so it counts as unknown.
pub(super) fn default_paths() -> (FieldPath, ReadyPath) {
    (FieldPath::replicas(), ReadyPath { path: FieldPath::new(".status.readyReplicas"), absent: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn version(subresources: Value, status: Value) -> DefinitionVersion {
        serde_json::from_value(json!({
            "name": "v1", "served": true, "storage": true, "subresources": subresources,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"status": {"properties": status}}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_definition_names_the_fields_of_the_counts() {
        let odd = json!({"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.members"}});
        let ready = |path: &str, absent| ReadyPath { path: FieldPath::new(path), absent };
        struct Row {
            name: &'static str,
            subresources: Value,
            status: Value,
            replicas: &'static str,
            ready: ReadyPath,
        }
        for row in [
            Row {
                name: "no scale subresource",
                subresources: json!({}),
                status: json!({}),
                replicas: ".spec.replicas",
                ready: ready(".status.readyReplicas", None),
            },
            Row {
                name: "no readyReplicas in the schema",
                subresources: odd.clone(),
                status: json!({}),
                replicas: ".spec.size",
                ready: ready(".status.members", Some(0)),
            },
            Row {
                name: "readyReplicas in the schema",
                subresources: odd,
                status: json!({"readyReplicas": {}}),
                replicas: ".spec.size",
                ready: ready(".status.readyReplicas", Some(0)),
            },
        ] {
            let paths = paths_in(&version(row.subresources, row.status));
            assert_eq!(paths, (FieldPath::new(row.replicas), row.ready), "{}", row.name);
        }
    }

    #[test]
    fn each_other_version_that_can_be_scaled_names_the_field_of_its_count() {
        let named = |name: &str, path: Option<&str>| {
            let scale = path.map(|path| json!({"specReplicasPath": path, "statusReplicasPath": ".status.size"}));
            let subresources = json!({"scale": scale});
            DefinitionVersion { name: name.to_owned(), ..version(subresources, json!({})) }
        };
        let too_deep = ".a".repeat(101);
        let versions = [
            named("v1", Some(".spec.size")),
            named("v1beta1", Some(".spec.pool.size")),
            named("v1alpha1", None),
            named("v2", Some(too_deep.as_str())),
        ];
        let expected = [("v1beta1".to_owned(), FieldPath::new(".spec.pool.size"))];
        assert_eq!(other_replicas(&versions, "v1"), BTreeMap::from(expected));
    }

    #[test]
    fn neither_odd_metadata_nor_a_deep_schema_makes_a_definition_unreadable() {
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        let text = format!(
            r#"{{"metadata": {{"name": 1, "creationTimestamp": "9999-12-31T00:00:00Z"}}, "spec": {{"versions": [{{
                "name": "v1", "subresources": {{"scale": {{"specReplicasPath": ".a", "statusReplicasPath": ".b"}}}},
                "schema": {{"openAPIV3Schema": {{"properties": {{"spec": {deep}, "status": {{"properties": {{
                    "readyReplicas": {deep}}}}}}}}}}}}}]}}}}"#
        );
        let definition: Definition = serde_json::from_str(&text).unwrap();
        let version = &definition.spec.versions[0];
        assert_eq!(version.scale().map(|scale| &*scale.spec_replicas_path), Some(".a"));
        assert!(version.has_status_field("readyReplicas") && !version.has_status_field("x"));
    }
}
