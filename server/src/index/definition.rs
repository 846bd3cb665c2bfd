//! Where the fields with the counts are, according to a CRD.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;

use crate::resources::{FieldPath, ReadyPath};

/// The fields with the counts, according to a CRD.
///
/// A CRD does not say which field holds the ready replicas. Most kinds have `.status.readyReplicas`, as the group
/// `apps` has. If the schema has no such field, `statusReplicasPath` with the number of all replicas takes its place.
pub(super) fn paths_in(version: &CustomResourceDefinitionVersion) -> (FieldPath, ReadyPath) {
    let scale = version.subresources.as_ref().and_then(|subresources| subresources.scale.as_ref());
    let Some(scale) = scale else { return default_paths() };
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let status = schema.and_then(|schema| schema.properties.as_ref()?.get("status")?.properties.as_ref());
    let ready = match status.is_some_and(|status| status.contains_key("readyReplicas")) {
        true => ReadyPath { absent: Some(0), ..default_paths().1 },
        false => ReadyPath { path: FieldPath::new(&scale.status_replicas_path), absent: None },
    };
    (FieldPath::new(&scale.spec_replicas_path), ready)
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

    fn version(subresources: Value, status: Value) -> CustomResourceDefinitionVersion {
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
                ready: ready(".status.members", None),
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
}
