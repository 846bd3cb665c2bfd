//! Who wrote each field of a `ReplicaCount`'s spec, according to its managedFields.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

use super::{
    field_path::FieldPath,
    names::{FIELD_MANAGER, OVERRIDE_SET_BY, SET_BY},
    text::beginning,
};

/// The name of a field manager that has none.
const UNKNOWN: &str = "unknown";

/// Who wrote each field of a `ReplicaCount`'s spec: a user of the gRPC API if this server wrote it, otherwise the field
/// manager that did. Empty if the field has no owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecWriters {
    /// Who wrote the lasting count.
    pub replicas: Arc<str>,
    /// Who wrote the reason of the lasting count.
    pub reason: Arc<str>,
    /// Who wrote each field of the override.
    pub override_: OverrideWriters,
    /// The user of the latest Set of the lasting count, even if another writer has changed it since. Empty if there was no
    /// Set.
    pub set_by: Arc<str>,
    /// Who wrote the object last, apart from its status, and when, in seconds since 1970. This writer counts as the one who removed a
    /// field, because a removed field has no owner.
    pub latest: (Arc<str>, Option<i64>),
}

/// Who wrote each field of an override.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverrideWriters {
    /// Who wrote its count.
    pub replicas: Arc<str>,
    /// Who wrote its end.
    pub until: Arc<str>,
    /// Who wrote its reason.
    pub reason: Arc<str>,
    /// Who wrote that it ends the management.
    pub then_unset: Arc<str>,
}

impl SpecWriters {
    /// All texts, for interning.
    pub(crate) fn texts_mut(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        let Self { replicas, reason, override_, set_by, latest } = self;
        let OverrideWriters { replicas: count, until, reason: why, then_unset } = override_;
        [replicas, reason, count, until, why, then_unset, set_by, &mut latest.0].into_iter()
    }

    /// Reads the metadata of a `ReplicaCount`.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        let entries = metadata.managed_fields.as_deref().unwrap_or_default();
        let writer = |field: &str, annotation: &str| {
            let owner = last_owner(metadata, &FieldPath::new(field));
            owner.map(|entry| name(metadata, entry, annotation)).unwrap_or_default()
        };
        let is_of_spec = |entry: &&ManagedFieldsEntry| entry.subresource.as_deref() != Some("status");
        let latest = entries.iter().filter(is_of_spec).max_by_key(|entry| time(entry));
        let set_by = metadata.annotations.as_ref().and_then(|annotations| annotations.get(SET_BY));
        Self {
            replicas: writer(".spec.replicas", SET_BY),
            reason: writer(".spec.reason", SET_BY),
            override_: OverrideWriters {
                replicas: writer(".spec.override.replicas", OVERRIDE_SET_BY),
                until: writer(".spec.override.until", OVERRIDE_SET_BY),
                reason: writer(".spec.override.reason", OVERRIDE_SET_BY),
                then_unset: writer(".spec.override.thenUnset", OVERRIDE_SET_BY),
            },
            set_by: set_by.map(|user| bounded(user).into()).unwrap_or_default(),
            latest: latest.map(|entry| (name(metadata, entry, SET_BY), time(entry))).unwrap_or_default(),
        }
    }
}

/// The entries of the managers that own a field.
fn owners<'a>(metadata: &'a ObjectMeta, path: &FieldPath) -> impl Iterator<Item = &'a ManagedFieldsEntry> {
    let entries = metadata.managed_fields.iter().flatten();
    entries.filter(move |entry| entry.fields_v1.as_ref().is_some_and(|fields| path.is_owned(&fields.0)))
}

/// The entry of the manager that wrote a field last.
fn last_owner<'a>(metadata: &'a ObjectMeta, path: &FieldPath) -> Option<&'a ManagedFieldsEntry> {
    owners(metadata, path).max_by_key(|entry| rank(entry))
}

/// The field manager that changed an annotation of this server, if one has. Then the server does not own it any more.
///
/// The creator of an object that had the annotation from the start, as from a backup, has not changed it. A later Set by
/// the same user leaves the annotation as it is, and so its owner too.
fn changed_by<'a>(metadata: &'a ObjectMeta, annotation: &str) -> Option<&'a str> {
    let path = FieldPath::annotation(annotation);
    if owners(metadata, &path).any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER)) {
        return None;
    }
    let created = metadata.creation_timestamp.as_ref().map(|created| created.0.as_second());
    last_owner(metadata, &path).filter(|owner| time(owner) > created).map(manager)
}

fn manager(entry: &ManagedFieldsEntry) -> &str {
    entry.manager.as_deref().filter(|manager| !manager.is_empty()).unwrap_or(UNKNOWN)
}

/// The user whom an annotation names, if this server wrote it last. Anybody else can name anybody there, so otherwise this
/// is the field manager that wrote it.
pub(super) fn annotated_user<'a>(metadata: &'a ObjectMeta, annotation: &str, user: &'a str) -> &'a str {
    let owner = last_owner(metadata, &FieldPath::annotation(annotation));
    match owner.and_then(|entry| entry.manager.as_deref()) {
        Some(FIELD_MANAGER) if !user.is_empty() => bounded(user),
        Some(FIELD_MANAGER | "") | None => UNKNOWN,
        Some(manager) => manager,
    }
}

/// Entries of `/scale` come first, because they have no time to compare, and an update takes the field from all others.
fn rank(entry: &ManagedFieldsEntry) -> (bool, Option<i64>) {
    (entry.subresource.as_deref() == Some("scale"), time(entry))
}

fn time(entry: &ManagedFieldsEntry) -> Option<i64> {
    entry.time.as_ref().map(|time| time.0.as_second())
}

/// The longest name that is read from annotations and labels, in bytes. An annotation can have 256 KiB.
const MAX_NAME: usize = 512;

/// The beginning of a name from annotations and labels, as far as it is read.
pub(super) fn bounded(name: &str) -> &str {
    beginning(name, MAX_NAME)
}

/// The annotation names the user of this server. Others usually leave it unchanged, so it is trusted only for our own
/// entries, and unless somebody else has changed it.
fn name(metadata: &ObjectMeta, entry: &ManagedFieldsEntry, annotation: &str) -> Arc<str> {
    let manager = manager(entry);
    if manager != FIELD_MANAGER {
        return manager.into();
    }
    let annotations = metadata.annotations.as_ref();
    let value = |name: &str| {
        let user = annotations?.get(name).filter(|user| !user.is_empty())?;
        Some(changed_by(metadata, name).unwrap_or_else(|| bounded(user)))
    };
    // Before version 0.2 there was one annotation for both counts.
    value(annotation).or_else(|| value(SET_BY)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(manager: &str, operation: &str, subresource: &str, second: u32, fields: Value) -> Value {
        let time = (subresource != "scale").then(|| format!("2026-01-01T00:00:{second:02}Z"));
        json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time,
               "fieldsV1": {"f:spec": fields}})
    }

    #[test]
    fn each_field_has_its_writer() {
        let ours = |fields| entry(FIELD_MANAGER, "Update", "", 2, fields);
        let argo = |fields| entry("argocd-controller", "Apply", "", 1, fields);
        let over = || json!({"f:replicas": {}, "f:until": {}});
        struct Row {
            name: &'static str,
            entries: Value,
            /// Of the lasting count, its reason, the override's count and end, and the latest one.
            expected: [&'static str; 5],
        }
        for row in [
            Row { name: "nobody", entries: json!([]), expected: ["", "", "", "", ""] },
            Row {
                name: "by this API",
                entries: json!([ours(json!({"f:replicas": {}, "f:reason": {}, "f:override": over()}))]),
                expected: ["alice", "alice", "bob", "bob", "alice"],
            },
            Row {
                name: "Argo CD keeps it, and a person sets an override",
                entries: json!([argo(json!({"f:replicas": {}, "f:reason": {}})), ours(json!({"f:override": over()}))]),
                expected: ["argocd-controller", "argocd-controller", "bob", "bob", "alice"],
            },
            Row {
                name: "scaled since",
                entries: json!([
                    ours(json!({"f:reason": {}})),
                    entry("kubectl", "Update", "scale", 0, json!({"f:replicas": {}})),
                ]),
                expected: ["kubectl", "alice", "", "", "alice"],
            },
            Row {
                name: "an override made longer by another",
                entries: json!([
                    ours(json!({"f:override": {"f:replicas": {}}})),
                    entry("kubectl-edit", "Update", "", 2, json!({"f:override": {"f:until": {}}})),
                ]),
                expected: ["", "", "bob", "kubectl-edit", "kubectl-edit"],
            },
            Row {
                name: "a status is no write of the spec",
                entries: json!([
                    argo(json!({"f:replicas": {}})),
                    entry(FIELD_MANAGER, "Update", "status", 9, json!({})),
                ]),
                expected: ["argocd-controller", "", "", "", "argocd-controller"],
            },
            Row {
                name: "without a name",
                entries: json!([entry("", "Update", "", 1, json!({"f:replicas": {}}))]),
                expected: ["unknown", "", "", "", "unknown"],
            },
        ] {
            let annotations = json!({SET_BY: "alice", OVERRIDE_SET_BY: "bob"});
            let metadata = json!({"managedFields": row.entries, "annotations": annotations});
            let writers = SpecWriters::of(&serde_json::from_value(metadata).unwrap());
            let SpecWriters { replicas, reason, override_, set_by, latest } = &writers;
            let found = [replicas, reason, &override_.replicas, &override_.until, &latest.0].map(|writer| &**writer);
            assert_eq!(found, row.expected, "{}", row.name);
            assert_eq!(&**set_by, "alice", "{}", row.name);
        }
    }

    #[test]
    fn an_annotation_that_somebody_else_has_changed_names_nobody_else() {
        let annotated_by = |manager: &str, second: u32| {
            json!({"manager": manager, "operation": "Update", "time": format!("2026-01-01T00:00:{second:02}Z"),
                   "fieldsV1": {"f:metadata": {"f:annotations": {format!("f:{SET_BY}"): {}}}}})
        };
        let ours = entry(FIELD_MANAGER, "Update", "", 1, json!({"f:replicas": {}}));
        for (name, entries, expected) in [
            ("without an owner", json!([ours]), "alice"),
            ("as this server wrote it", json!([ours, annotated_by(FIELD_MANAGER, 1)]), "alice"),
            ("repeated by another", json!([ours, annotated_by(FIELD_MANAGER, 1), annotated_by("argocd", 2)]), "alice"),
            ("changed by another", json!([ours, annotated_by("kubectl-annotate", 2)]), "kubectl-annotate"),
            ("changed by a nameless one", json!([ours, annotated_by("", 2)]), "unknown"),
            ("created from a backup", json!([ours, annotated_by("kubectl-create", 0)]), "alice"),
        ] {
            let metadata = json!({"managedFields": entries, "annotations": {SET_BY: "alice"},
                                  "creationTimestamp": "2026-01-01T00:00:00Z"});
            let writers = SpecWriters::of(&serde_json::from_value(metadata).unwrap());
            assert_eq!(&*writers.replicas, expected, "{name}");
        }
    }
}
