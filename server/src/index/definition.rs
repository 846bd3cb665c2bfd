//! The part of a CRD that the server reads. Whatever else is in it, such as a deep schema, cannot make it unreadable.

use std::collections::BTreeMap;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, de::IgnoredAny};

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
pub(super) struct ScaleSubresource {
    pub(super) spec_replicas_path: String,
    pub(super) status_replicas_path: String,
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
    pub(super) fn scale(&self) -> Option<&ScaleSubresource> {
        self.subresources.as_ref()?.scale.as_ref()
    }

    /// Whether the schema of the status has a field.
    pub(super) fn has_status_field(&self, name: &str) -> bool {
        let properties = || {
            let object = self.schema.as_ref()?.object.as_ref()?.properties.as_ref()?;
            object.status.as_ref()?.properties.as_ref()
        };
        properties().is_some_and(|properties| properties.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
