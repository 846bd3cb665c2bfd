//! Who wrote each field of a `ReplicaCount`'s spec, according to its managedFields.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

use super::{
    field_path::FieldPath,
    names::{FIELD_MANAGER, OVERRIDE_SET_BY, SET_BY},
};

/// The name of a field manager that has none.
const UNKNOWN: &str = "unknown";

/// Who wrote each field of a `ReplicaCount`'s spec: a user of the gRPC API if this server wrote it, otherwise the field
/// manager that did. Empty if nobody owns the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecWriters {
    /// Who wrote the lasting count.
    pub replicas: Arc<str>,
    /// Who wrote the override.
    pub override_: Arc<str>,
    /// Who wrote the reason of the lasting count.
    pub reason: Arc<str>,
    /// Who wrote the object last, apart from its status, and when, in seconds since 1970. It is who removed a field,
    /// because nobody owns a field that is gone.
    pub latest: (Arc<str>, Option<i64>),
}

impl SpecWriters {
    /// Reads the metadata of a `ReplicaCount`.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        let writer = |field: &str, annotation: &str| {
            let path = FieldPath::new(field);
            let owners =
                entries.iter().filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| path.is_owned(&fields.0)));
            owners.max_by_key(|entry| rank(entry)).map(|entry| name(metadata, entry, annotation)).unwrap_or_default()
        };
        let is_of_spec = |entry: &&ManagedFieldsEntry| entry.subresource.as_deref() != Some("status");
        let latest = entries.iter().filter(is_of_spec).max_by_key(|entry| time(entry));
        Self {
            replicas: writer(".spec.replicas", SET_BY),
            override_: writer(".spec.override", OVERRIDE_SET_BY),
            reason: writer(".spec.reason", SET_BY),
            latest: latest.map(|entry| (name(metadata, entry, SET_BY), time(entry))).unwrap_or_default(),
        }
    }
}

/// Entries of `/scale` come first, because they have no time to compare, and an update takes the field from all others.
fn rank(entry: &ManagedFieldsEntry) -> (bool, Option<i64>) {
    (entry.subresource.as_deref() == Some("scale"), time(entry))
}

fn time(entry: &ManagedFieldsEntry) -> Option<i64> {
    entry.time.as_ref().map(|time| time.0.as_second())
}

/// The annotation names the user of this server. Others leave it unchanged, so it is trusted only for our own entries.
fn name(metadata: &ObjectMeta, entry: &ManagedFieldsEntry, annotation: &str) -> Arc<str> {
    let manager = entry.manager.as_deref().filter(|manager| !manager.is_empty()).unwrap_or(UNKNOWN);
    if manager != FIELD_MANAGER {
        return manager.into();
    }
    let annotations = metadata.annotations.as_ref();
    let value = |name: &str| annotations?.get(name).filter(|user| !user.is_empty()).map(String::as_str);
    // Before version 0.2 there was one annotation for both counts.
    value(annotation).or_else(|| value(SET_BY)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(manager: &str, operation: &str, subresource: &str, second: u32, fields: &[&str]) -> Value {
        let fields: serde_json::Map<_, _> = fields.iter().map(|field| (format!("f:{field}"), json!({}))).collect();
        let time = (subresource != "scale").then(|| format!("2026-01-01T00:00:{second:02}Z"));
        json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time,
               "fieldsV1": {"f:spec": fields}})
    }

    #[test]
    fn each_field_has_its_writer() {
        let ours = |fields| entry(FIELD_MANAGER, "Update", "", 2, fields);
        let argo = |fields| entry("argocd-controller", "Apply", "", 1, fields);
        struct Row {
            name: &'static str,
            entries: Value,
            /// Of the lasting count, the override, the reason, and the latest one.
            expected: [&'static str; 4],
        }
        for row in [
            Row { name: "nobody", entries: json!([]), expected: ["", "", "", ""] },
            Row {
                name: "by this API",
                entries: json!([ours(&["replicas", "reason", "override"])]),
                expected: ["alice", "bob", "alice", "alice"],
            },
            Row {
                name: "Argo CD keeps it, and a person sets an override",
                entries: json!([argo(&["replicas", "reason"]), ours(&["override"])]),
                expected: ["argocd-controller", "bob", "argocd-controller", "alice"],
            },
            Row {
                name: "scaled since",
                entries: json!([ours(&["reason"]), entry("kubectl", "Update", "scale", 0, &["replicas"])]),
                expected: ["kubectl", "", "alice", "alice"],
            },
            Row {
                name: "a status is no write of the spec",
                entries: json!([argo(&["replicas"]), entry(FIELD_MANAGER, "Update", "status", 9, &[])]),
                expected: ["argocd-controller", "", "", "argocd-controller"],
            },
            Row {
                name: "without a name",
                entries: json!([entry("", "Update", "", 1, &["replicas"])]),
                expected: ["unknown", "", "", "unknown"],
            },
        ] {
            let annotations = json!({SET_BY: "alice", OVERRIDE_SET_BY: "bob"});
            let metadata = json!({"managedFields": row.entries, "annotations": annotations});
            let writers = SpecWriters::of(&serde_json::from_value(metadata).unwrap());
            let SpecWriters { replicas, override_, reason, latest } = &writers;
            assert_eq!([&**replicas, &**override_, &**reason, &*latest.0], row.expected, "{}", row.name);
        }
    }
}
