//! Who owns a target's count, read out of the object's managedFields.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{FIELD_MANAGER, FieldPath};

/// How a field manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Anything else.
    #[serde(other)]
    Update,
}

/// A field manager that owns the count, or applies the object: a program, not a person, and by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The field manager.
    pub manager: Arc<str>,
    /// How it wrote.
    pub operation: Operation,
    /// Whether it wrote through `/scale`.
    pub scale: bool,
    /// Whether it owns the count.
    pub owns: bool,
    /// When it wrote last, in seconds since 1970. Others who take a field from it leave this time as it is. Scale entries
    /// carry none.
    pub time: Option<i64>,
}

impl Writer {
    /// Whether this server wrote.
    pub fn is_ours(&self) -> bool {
        &*self.manager == FIELD_MANAGER
    }

    fn is_applier(&self) -> bool {
        self.operation == Operation::Apply && !self.is_ours()
    }

    fn rank(&self) -> (bool, Option<i64>) {
        (self.scale, self.time)
    }
}

/// The owners of a target's count, and those that apply the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldOwners(Box<[Writer]>);

impl FieldOwners {
    /// The owners of the field at a path.
    pub fn of(entries: &[ManagedFieldsEntry], path: &FieldPath) -> Self {
        let writers = entries.iter().map(|entry| Writer {
            manager: entry.manager.as_deref().unwrap_or_default().into(),
            operation: match entry.operation.as_deref() {
                Some("Apply") => Operation::Apply,
                _ => Operation::Update,
            },
            scale: entry.subresource.as_deref() == Some("scale"),
            owns: entry.fields_v1.as_ref().is_some_and(|fields| path.is_owned(&fields.0)),
            time: entry.time.as_ref().map(|time| time.0.as_second()),
        });
        writers.collect()
    }

    /// Who wrote the count last; `None` if nobody owns it, as after a 0 that was written through `/scale`.
    ///
    /// An update that changes the count takes it from all others, so several owners mean that applies agreed with it.
    /// Scale entries come first because they carry no time to compare.
    pub fn last(&self) -> Option<&Writer> {
        self.0.iter().filter(|writer| writer.owns).max_by_key(|writer| writer.rank())
    }

    /// Whether this server is among the owners.
    pub fn ours(&self) -> bool {
        self.0.iter().any(|writer| writer.owns && writer.is_ours())
    }

    /// All others that apply the object by server-side apply, whether the count is among what they apply or not.
    pub fn appliers(&self) -> impl Iterator<Item = &Writer> {
        self.0.iter().filter(|writer| writer.is_applier())
    }

    /// The names of the field managers.
    pub(crate) fn managers_mut(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        self.0.iter_mut().map(|writer| &mut writer.manager)
    }
}

impl FromIterator<Writer> for FieldOwners {
    /// Keeps those that matter.
    fn from_iter<I: IntoIterator<Item = Writer>>(writers: I) -> Self {
        Self(writers.into_iter().filter(|writer| writer.owns || writer.is_applier()).collect())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Deserializes managedFields into the owners of `.spec.replicas`, without keeping anything of the other fields.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FieldOwners, D::Error> {
    deserializer.deserialize_any(OwnersOfReplicas)
}

struct OwnersOfReplicas;

impl<'de> Visitor<'de> for OwnersOfReplicas {
    type Value = FieldOwners;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("managedFields")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(FieldOwners::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut writers = Vec::new();
        while let Some(entry) = entries.next_element::<Entry>()? {
            writers.push(Writer {
                owns: entry.fields.is_some_and(|fields| fields.own_replicas()),
                manager: entry.manager.into(),
                operation: entry.operation.unwrap_or(Operation::Update),
                scale: entry.subresource.as_deref() == Some("scale"),
                time: entry.time.and_then(|time| time.parse::<Timestamp>().ok()).map(Timestamp::as_second),
            });
        }
        Ok(writers.into_iter().collect())
    }
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    manager: Box<str>,
    operation: Option<Operation>,
    subresource: Option<Box<str>>,
    /// Text, since clients may write times that none of our types holds, and one object must not spoil a whole list.
    time: Option<Box<str>>,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

/// Whether the fields of an entry of managedFields hold `.spec.replicas`; what is no JSON holds nothing.
pub(crate) fn owns_replicas(fields: &[u8]) -> bool {
    serde_json::from_slice(fields).is_ok_and(|fields: Fields| fields.own_replicas())
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
}

impl Fields {
    fn own_replicas(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.replicas.is_some())
    }
}

#[derive(Deserialize)]
struct SpecFields {
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(manager: &str, operation: &str, subresource: Option<&str>, time: Option<&str>, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time,
               "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn replicas() -> Value {
        json!({"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}})
    }

    /// Reads the same entries in both ways, which must agree.
    fn owners_of(entries: &Value) -> FieldOwners {
        let slim = deserialize(entries).unwrap();
        let full: Vec<ManagedFieldsEntry> = serde_json::from_value(entries.clone()).unwrap();
        assert_eq!(slim, FieldOwners::of(&full, &FieldPath::replicas()));
        slim
    }

    #[test]
    fn the_last_writer_is_the_scale_entry_else_the_latest() {
        let helm = entry("helm", "Apply", None, Some("2026-01-01T00:00:00Z"), replicas());
        let edit = entry("kubectl-edit", "Update", None, Some("2026-01-02T00:00:00Z"), replicas());
        let scale = entry("kubectl", "Update", Some("scale"), None, json!({"f:spec": {"f:replicas": {}}}));
        let status = entry(
            "kube-controller-manager",
            "Update",
            Some("status"),
            Some("2026-01-03T00:00:00Z"),
            json!({"f:status": {"f:replicas": {}}}),
        );
        for (entries, last) in [
            (json!([]), None),
            (json!([status]), None),
            (json!([helm, status]), Some(("helm", false))),
            (json!([helm, edit]), Some(("kubectl-edit", false))),
            (json!([edit, helm]), Some(("kubectl-edit", false))),
            (json!([scale, edit, status]), Some(("kubectl", true))),
        ] {
            let owners = owners_of(&entries);
            assert_eq!(owners.last().map(|writer| (&*writer.manager, writer.scale)), last, "{entries}");
        }
    }

    #[test]
    fn appliers_are_known_also_once_the_count_was_taken_from_them() {
        let time = "2026-01-01T00:00:00Z";
        let helm = entry("helm", "Apply", None, Some(time), json!({"f:spec": {"f:template": {}}}));
        let ours = entry(FIELD_MANAGER, "Update", Some("scale"), None, json!({"f:spec": {"f:replicas": {}}}));
        let owners = owners_of(&json!([helm, ours]));
        let appliers: Vec<_> = owners.appliers().map(|helm| (&*helm.manager, helm.time, helm.owns)).collect();
        let time = time.parse::<Timestamp>().unwrap().as_second();
        assert_eq!((owners.ours(), appliers), (true, vec![("helm", Some(time), false)]));
    }
}
