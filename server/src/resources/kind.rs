//! Kinds of targets as the API server serves them, and where in their objects the counts are.

use std::fmt;

use json_patch::jsonptr::PointerBuf;
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::GroupKind;

/// The most names on the way to a count. Objects that are nested 128 deep cannot be read, and a definition that asks for
/// far more would exhaust the stack.
const MAX_DEPTH: usize = 100;

/// A field of an object, by the names on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path as CustomResourceDefinitions write it, such as `.spec.replicas`. They rule out lists in it.
    pub fn new(text: &str) -> Self {
        Self(text.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Where the kinds of the group `apps` have their count, `ReplicaCount` itself and most others too.
    pub fn replicas() -> Self {
        Self::new(".spec.replicas")
    }

    /// Whether there are more names on the way than in any object that can be read.
    pub fn is_too_deep(&self) -> bool {
        self.0.len() > MAX_DEPTH
    }

    /// The count in this field of an object, in replicas; `None` if it is absent or no count.
    pub fn count_in(&self, object: &Value) -> Option<i32> {
        let value = self.0.iter().try_fold(object, |value, name| value.get(name))?;
        value.as_i64().and_then(|count| count.try_into().ok())
    }

    /// Whether the fields of an entry of managedFields (`FieldsV1`) hold this one.
    pub fn is_owned(&self, fields: &Value) -> bool {
        self.0.iter().try_fold(fields, |fields, name| fields.get(owned(name))).is_some()
    }

    /// What adds this field to the fields of an entry of managedFields: where below the fields, and the value to add.
    pub fn to_own(&self, fields: &Value) -> (PointerBuf, Value) {
        let (mut pointer, mut fields, mut names) = (PointerBuf::new(), Some(fields), self.0.iter());
        // Down to the first name that is not there yet, and the rest of the way in one value.
        for name in names.by_ref() {
            pointer.push_back(owned(name));
            fields = fields.and_then(|fields| fields.get(owned(name)));
            if fields.is_none() {
                break;
            }
        }
        (pointer, nested(names.as_slice()))
    }

    /// The fields of an entry that owns this field and no other.
    pub fn only(&self) -> Value {
        nested(&self.0)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

/// A field's name in `FieldsV1`.
fn owned(name: &str) -> String {
    format!("f:{name}")
}

fn nested(names: &[String]) -> Value {
    names.iter().rev().fold(json!({}), |inner, name| json!({owned(name): inner}))
}

/// Where an object says how many of its replicas are ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPath {
    /// The field.
    pub path: FieldPath,
    /// What it means that the field is absent, in replicas: 0, or `None` where the kind does not tell then.
    pub absent: Option<i32>,
}

/// A kind of targets as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKind {
    /// The group and kind.
    pub group_kind: GroupKind,
    /// The served version, such as `v1`.
    pub version: String,
    /// The resource, such as `deployments`.
    pub plural: String,
    /// Where the count is.
    pub replicas: FieldPath,
    /// Where the ready replicas are.
    pub ready: ReadyPath,
}

impl TargetKind {
    /// The kinds of the group `apps`, which every API server serves in the same way.
    pub fn apps() -> [Self; 3] {
        let apps = |kind: &str, plural: &str| Self {
            group_kind: GroupKind::new(kind, "apps"),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            replicas: FieldPath::replicas(),
            ready: ReadyPath { path: FieldPath::new(".status.readyReplicas"), absent: Some(0) },
        };
        [apps("Deployment", "deployments"), apps("StatefulSet", "statefulsets"), apps("ReplicaSet", "replicasets")]
    }

    /// Whether it is of the group `apps`.
    pub fn is_of_apps(&self) -> bool {
        &*self.group_kind.group == "apps"
    }

    /// The group and version, such as `apps/v1`.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group_kind.group, self.version)
    }

    /// The kind as kube's dynamic client knows it.
    pub fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group_kind.group.to_string(),
            version: self.version.clone(),
            api_version: self.api_version(),
            kind: self.group_kind.kind.to_string(),
            plural: self.plural.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_count() {
        let object = json!({"spec": {"size": 3, "pool": {"workers": 4}, "text": "5", "huge": 1_u64 << 40}});
        for (path, count) in [
            (".spec.size", Some(3)),
            (".spec.pool.workers", Some(4)),
            (".spec.text", None),
            (".spec.huge", None),
            (".spec.absent", None),
            (".spec.size.deeper", None),
        ] {
            assert_eq!(FieldPath::new(path).count_in(&object), count, "{path}");
            assert_eq!(FieldPath::new(path).to_string(), path);
        }
    }

    #[test]
    fn a_path_that_no_object_can_have_is_too_deep() {
        assert!(!FieldPath::new(&".a".repeat(100)).is_too_deep());
        assert!(FieldPath::new(&".a".repeat(101)).is_too_deep());
    }

    #[test]
    fn a_path_is_added_where_the_fields_of_an_entry_end() {
        let path = FieldPath::new(".spec.pool.size");
        for (fields, pointer, value) in [
            (json!({}), "/f:spec", json!({"f:pool": {"f:size": {}}})),
            (json!({"f:spec": {"f:x": {}}}), "/f:spec/f:pool", json!({"f:size": {}})),
            (json!({"f:spec": {"f:pool": {".": {}}}}), "/f:spec/f:pool/f:size", json!({})),
        ] {
            assert!(!path.is_owned(&fields));
            assert_eq!(path.to_own(&fields), (PointerBuf::parse(pointer).unwrap(), value), "{fields}");
        }
        assert!(path.is_owned(&path.only()));
    }
}
