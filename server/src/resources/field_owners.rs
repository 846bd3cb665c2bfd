//! The owners of a target's count, according to the object's managedFields.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{field_path::FieldPath, kind::TargetKind, names::FIELD_MANAGER};

/// How many owners and appliers of one target are known. Every field manager has an entry in managedFields, and any client
/// that may apply the target can name thousands of them.
pub const MAX_OWNERS: usize = 64;

/// How a field manager wrote (`operation` in managedFields).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    #[serde(other)]
    Update,
}

/// A field manager that owns the count or applies the object. It is a program, not a person, and it chooses its own
/// name.
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
    /// When it wrote last, in seconds since 1970. The time does not change when another manager takes a field from this
    /// one. Entries of `/scale` have no time.
    pub time: Option<i64>,
}

impl Writer {
    /// Reads an entry of managedFields; `path` is that of the count.
    fn of(entry: &ManagedFieldsEntry, path: &FieldPath) -> Self {
        Self {
            manager: entry.manager.as_deref().unwrap_or_default().into(),
            operation: match entry.operation.as_deref() {
                Some("Apply") => Operation::Apply,
                _ => Operation::Update,
            },
            scale: entry.subresource.as_deref() == Some("scale"),
            owns: entry.fields_v1.as_ref().is_some_and(|fields| path.is_owned(&fields.0)),
            time: entry.time.as_ref().map(|time| time.0.as_second()),
        }
    }

    /// Whether this server is the field manager.
    pub(crate) fn is_ours(&self) -> bool {
        &*self.manager == FIELD_MANAGER
    }

    fn is_applier(&self) -> bool {
        self.operation == Operation::Apply && !self.is_ours()
    }

    fn rank(&self) -> (bool, Option<i64>) {
        (self.scale, self.time)
    }
}

/// The field managers that own a target's count or apply the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldOwners(Box<[Writer]>);

impl FieldOwners {
    /// Reads managedFields; `path` is that of the count.
    pub(crate) fn of(entries: &[ManagedFieldsEntry], path: &FieldPath) -> Self {
        entries.iter().map(|entry| Writer::of(entry, path)).collect()
    }

    /// Reads the managedFields of a target. Its kind may have the count elsewhere in another version.
    pub(crate) fn of_target(entries: &[ManagedFieldsEntry], kind: &TargetKind) -> Self {
        entries.iter().map(|entry| Writer::of(entry, kind.replicas_in_entry(entry))).collect()
    }

    /// The last writer of the count. `None` if the count has no owner, as after a write of 0 through `/scale`.
    ///
    /// An update that changes the count takes it from all other owners. Several owners mean that later applies had the
    /// same count. Entries of `/scale` come first, because they have no time to compare.
    pub fn last(&self) -> Option<&Writer> {
        self.0.iter().filter(|writer| writer.owns).max_by_key(|writer| writer.rank())
    }

    /// Whether this server is one of the owners.
    pub fn ours(&self) -> bool {
        self.0.iter().any(|writer| writer.owns && writer.is_ours())
    }

    /// The other field managers that apply the object by server-side apply, whether they own the count or not.
    pub(crate) fn appliers(&self) -> impl Iterator<Item = &Writer> {
        self.0.iter().filter(|writer| writer.is_applier())
    }

    /// The names of the field managers. The caller may replace them only by equal texts.
    pub(crate) fn managers_mut(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        self.0.iter_mut().map(|writer| &mut writer.manager)
    }
}

impl FromIterator<Writer> for FieldOwners {
    /// Keeps the owners of the count and the appliers. Of too many, it keeps the owners, then those that wrote last.
    fn from_iter<I: IntoIterator<Item = Writer>>(writers: I) -> Self {
        let mut kept: Vec<_> = writers.into_iter().filter(|writer| writer.owns || writer.is_applier()).collect();
        let surplus = kept.len().saturating_sub(MAX_OWNERS);
        if surplus > 0 {
            kept.sort_by_key(|writer| (writer.owns, writer.rank()));
            kept.drain(..surplus);
        }
        Self(kept.into())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Deserializes managedFields into the owners of `.spec.replicas`, without storing the other fields.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FieldOwners, D::Error> {
    deserializer.deserialize_any(ManagedFieldsVisitor)
}

struct ManagedFieldsVisitor;

impl<'de> Visitor<'de> for ManagedFieldsVisitor {
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
                owns: entry.fields.is_some_and(|fields| fields.contain_replicas()),
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
    /// A text, because clients can write times that our types cannot hold. One such object must not make a whole list
    /// unreadable.
    time: Option<Box<str>>,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

/// Whether `FieldsV1`, as JSON, contain `.spec.replicas`. Invalid JSON contains no fields.
pub(crate) fn owns_replicas(fields: &[u8]) -> bool {
    serde_json::from_slice(fields).is_ok_and(|fields: Fields| fields.contain_replicas())
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
}

impl Fields {
    fn contain_replicas(&self) -> bool {
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

    /// Reads the entries in both ways, which must agree.
    fn read_both_ways(entries: &Value) -> FieldOwners {
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
            let owners = read_both_ways(&entries);
            assert_eq!(owners.last().map(|writer| (&*writer.manager, writer.scale)), last, "{entries}");
        }
    }

    #[test]
    fn of_too_many_appliers_the_owners_and_the_latest_are_known() {
        let time = |second: usize| format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        let applier = |second: usize, fields| entry(&format!("a-{second}"), "Apply", None, Some(&time(second)), fields);
        let without = || json!({"f:spec": {"f:template": {}}});
        struct Row {
            name: &'static str,
            /// How many appliers there are, and whether the first and the second one own the count.
            appliers: usize,
            owns: bool,
            /// The names of the first and the last one that are known, and how many there are.
            first: &'static str,
            last: &'static str,
            known: usize,
        }
        for row in [
            Row { name: "few", appliers: 3, owns: true, first: "a-0", last: "a-2", known: 3 },
            Row { name: "as many as are known", appliers: 64, owns: false, first: "a-0", last: "a-63", known: 64 },
            Row { name: "more", appliers: 100, owns: false, first: "a-36", last: "a-99", known: 64 },
            Row {
                name: "more, and the oldest own it",
                appliers: 100,
                owns: true,
                first: "a-38",
                last: "a-1",
                known: 64,
            },
            Row { name: "thousands", appliers: 3000, owns: true, first: "a-2938", last: "a-1", known: 64 },
        ] {
            let fields = |second: usize| if row.owns && second < 2 { replicas() } else { without() };
            let entries: Vec<_> = (0..row.appliers).map(|second| applier(second, fields(second))).collect();
            let owners = read_both_ways(&json!(entries));
            let names: Vec<_> = owners.appliers().map(|applier| &*applier.manager).collect();
            assert_eq!(names.len(), row.known, "{}", row.name);
            assert_eq!((names.first(), names.last()), (Some(&row.first), Some(&row.last)), "{}", row.name);
            assert_eq!(owners.last().map(|last| &*last.manager), row.owns.then_some("a-1"), "{}", row.name);
        }
    }

    #[test]
    fn appliers_are_known_even_after_they_lost_the_count() {
        let time = "2026-01-01T00:00:00Z";
        let helm = entry("helm", "Apply", None, Some(time), json!({"f:spec": {"f:template": {}}}));
        let ours = entry(FIELD_MANAGER, "Update", Some("scale"), None, json!({"f:spec": {"f:replicas": {}}}));
        let owners = read_both_ways(&json!([helm, ours]));
        let appliers: Vec<_> = owners.appliers().map(|helm| (&*helm.manager, helm.time, helm.owns)).collect();
        let time = time.parse::<Timestamp>().unwrap().as_second();
        assert_eq!((owners.ours(), appliers), (true, vec![("helm", Some(time), false)]));
    }
}
