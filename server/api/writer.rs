//! Who wrote `spec.replicas` last, read out of an object's managedFields.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::FIELD_MANAGER;

/// How a field manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Anything else.
    #[serde(other)]
    Update,
}

/// A field manager that owns `spec.replicas`: a program, not a person, and by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The field manager.
    pub manager: Box<str>,
    /// How it wrote.
    pub operation: Operation,
    /// Whether it wrote through `/scale`.
    pub scale: bool,
    /// When it wrote. Scale entries carry no time.
    time: Option<Timestamp>,
}

impl Writer {
    /// Picks the last writer of `spec.replicas` among the entries of managedFields.
    ///
    /// An update that changes the count takes it from all others, so several owners mean that applies agreed with it.
    /// Scale entries come first because they carry no time to compare.
    pub fn last_of(entries: &[ManagedFieldsEntry]) -> Option<Self> {
        entries
            .iter()
            .filter(|entry| Self::owns_replicas(entry))
            .map(|entry| Self {
                manager: entry.manager.as_deref().unwrap_or_default().into(),
                operation: match entry.operation.as_deref() {
                    Some("Apply") => Operation::Apply,
                    _ => Operation::Update,
                },
                scale: entry.subresource.as_deref() == Some("scale"),
                time: entry.time.as_ref().map(|time| time.0),
            })
            .max_by_key(Self::rank)
    }

    /// Whether an entry of managedFields owns `spec.replicas`.
    pub fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    }

    /// Whether this server wrote.
    pub fn is_ours(&self) -> bool {
        &*self.manager == FIELD_MANAGER
    }

    fn rank(&self) -> (bool, Option<Timestamp>) {
        (self.scale, self.time)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Deserializes managedFields into the last writer, without keeping anything of the other fields.
pub(super) fn deserialize_last<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Writer>, D::Error> {
    deserializer.deserialize_any(LastWriter)
}

struct LastWriter;

impl<'de> Visitor<'de> for LastWriter {
    type Value = Option<Writer>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("managedFields")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut last: Option<Writer> = None;
        while let Some(entry) = entries.next_element::<Entry>()? {
            if let Some(writer) = entry.writer_of_replicas()
                && last.as_ref().is_none_or(|last| writer.rank() >= last.rank())
            {
                last = Some(writer);
            }
        }
        Ok(last)
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

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
}

#[derive(Deserialize)]
struct SpecFields {
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
}

impl Entry {
    fn writer_of_replicas(self) -> Option<Writer> {
        self.fields?.spec?.replicas?;
        Some(Writer {
            manager: self.manager,
            operation: self.operation.unwrap_or(Operation::Update),
            scale: self.subresource.as_deref() == Some("scale"),
            time: self.time.and_then(|time| time.parse().ok()),
        })
    }
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
    fn last_of(entries: &Value) -> Option<(String, bool)> {
        let slim = deserialize_last(entries).unwrap();
        let full: Vec<ManagedFieldsEntry> = serde_json::from_value(entries.clone()).unwrap();
        assert_eq!(slim, Writer::last_of(&full));
        slim.map(|writer| (writer.manager.into(), writer.scale))
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
            assert_eq!(last_of(&entries), last.map(|(manager, scale)| (manager.to_owned(), scale)), "{entries}");
        }
    }
}
