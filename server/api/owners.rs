//! Who owns a target's count, read out of the object's managedFields.

use std::fmt;

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

/// A field manager that owns the count: a program, not a person, and by its own word.
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
    /// Whether this server wrote.
    pub fn is_ours(&self) -> bool {
        &*self.manager == FIELD_MANAGER
    }

    fn rank(&self) -> (bool, Option<Timestamp>) {
        (self.scale, self.time)
    }
}

/// A manager that has applied the object by server-side apply, whether the count was among what it applied or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applier {
    /// The field manager.
    pub manager: Box<str>,
    /// When it applied last, to the second. Others who take a field from it leave this time as it is.
    pub time: Option<Timestamp>,
    /// Whether it owns the count.
    pub owns: bool,
}

impl Applier {
    /// This applier as a writer of the count.
    pub fn as_writer(&self) -> Writer {
        Writer { manager: self.manager.clone(), operation: Operation::Apply, scale: false, time: self.time }
    }
}

/// The owners of a target's count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owners {
    /// Who wrote it last; `None` if nobody owns it, as after a 0 that was written through `/scale`.
    ///
    /// An update that changes the count takes it from all others, so several owners mean that applies agreed with it.
    /// Scale entries come first because they carry no time to compare.
    pub last: Option<Writer>,
    /// Whether this server is among the owners.
    pub ours: bool,
    /// All others that apply the object.
    pub appliers: Vec<Applier>,
}

impl Owners {
    /// The owners of the field at a path.
    pub fn of(entries: &[ManagedFieldsEntry], path: &FieldPath) -> Self {
        let mut owners = Self::default();
        for entry in entries {
            let owns = entry.fields_v1.as_ref().is_some_and(|fields| path.is_owned(&fields.0));
            let writer = Writer {
                manager: entry.manager.as_deref().unwrap_or_default().into(),
                operation: match entry.operation.as_deref() {
                    Some("Apply") => Operation::Apply,
                    _ => Operation::Update,
                },
                scale: entry.subresource.as_deref() == Some("scale"),
                time: entry.time.as_ref().map(|time| time.0),
            };
            owners.add(writer, owns);
        }
        owners
    }

    /// Takes in one entry of managedFields, of which `owns` tells whether the count is in it.
    fn add(&mut self, writer: Writer, owns: bool) {
        if writer.operation == Operation::Apply && !writer.is_ours() {
            self.appliers.push(Applier { manager: writer.manager.clone(), time: writer.time, owns });
        }
        if owns {
            self.ours |= writer.is_ours();
            if self.last.as_ref().is_none_or(|last| writer.rank() >= last.rank()) {
                self.last = Some(writer);
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Deserializes managedFields into the owners of `.spec.replicas`, without keeping anything of the other fields.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Owners, D::Error> {
    deserializer.deserialize_any(OwnersOfReplicas)
}

struct OwnersOfReplicas;

impl<'de> Visitor<'de> for OwnersOfReplicas {
    type Value = Owners;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("managedFields")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Owners::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut owners = Owners::default();
        while let Some(entry) = entries.next_element::<Entry>()? {
            let owns = entry.fields.and_then(|fields| fields.spec?.replicas).is_some();
            let writer = Writer {
                manager: entry.manager,
                operation: entry.operation.unwrap_or(Operation::Update),
                scale: entry.subresource.as_deref() == Some("scale"),
                time: entry.time.and_then(|time| time.parse().ok()),
            };
            owners.add(writer, owns);
        }
        Ok(owners)
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
    fn owners_of(entries: &Value) -> Owners {
        let slim = deserialize(entries).unwrap();
        let full: Vec<ManagedFieldsEntry> = serde_json::from_value(entries.clone()).unwrap();
        assert_eq!(slim, Owners::of(&full, &FieldPath::replicas()));
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
            assert_eq!(
                owners.last.map(|writer| (writer.manager, writer.scale)),
                last.map(|(manager, scale)| (manager.into(), scale)),
                "{entries}"
            );
        }
    }

    #[test]
    fn appliers_are_known_also_once_the_count_was_taken_from_them() {
        let time = "2026-01-01T00:00:00Z";
        let helm = entry("helm", "Apply", None, Some(time), json!({"f:spec": {"f:template": {}}}));
        let ours = entry(FIELD_MANAGER, "Update", Some("scale"), None, json!({"f:spec": {"f:replicas": {}}}));
        let owners = owners_of(&json!([helm, ours]));
        let helm = Applier { manager: "helm".into(), time: Some(time.parse().unwrap()), owns: false };
        assert_eq!((owners.ours, owners.appliers), (true, vec![helm]));
    }
}
