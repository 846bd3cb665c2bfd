//! Paths to fields of objects, as CRDs write them and as managedFields write them.

use std::fmt;

use json_patch::jsonptr::PointerBuf;
use serde_json::{Value, json};

/// The most names in a path. serde_json reads no object that is nested deeper than 128 levels, and a CRD whose path is
/// far longer would exhaust the stack.
const MAX_DEPTH: usize = 100;

/// The path to a field of an object: the names on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path as CRDs write it, such as `.spec.replicas`. CRDs allow no lists in it.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// The path to an annotation.
    pub(crate) fn annotation(name: &str) -> Self {
        Self(["metadata", "annotations", name].map(str::to_owned).into())
    }

    /// `.spec.replicas`: the count of the kinds of the group `apps`, of `ReplicaCount` and of most other kinds.
    pub(crate) fn replicas() -> Self {
        Self::new(".spec.replicas")
    }

    /// Whether the path is longer than that of any field in an object that can be read.
    pub(crate) fn is_too_deep(&self) -> bool {
        self.0.len() > MAX_DEPTH
    }

    /// The count in this field of an object, in replicas. `None` if the field is absent or is not a count.
    pub(crate) fn count_in(&self, object: &Value) -> Option<i32> {
        let value = self.0.iter().try_fold(object, |value, name| value.get(name))?;
        value.as_i64().and_then(|count| count.try_into().ok())
    }

    /// The names on the way to the field.
    pub(crate) fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The JSON pointer to the field.
    pub(crate) fn pointer(&self) -> PointerBuf {
        PointerBuf::from_tokens(self.names())
    }

    /// Whether the `FieldsV1` of an entry in managedFields contain this field.
    pub(crate) fn is_owned(&self, fields: &Value) -> bool {
        self.0.iter().try_fold(fields, |fields, name| fields.get(field_key(name))).is_some()
    }

    /// The JSON patch that adds this field to the `FieldsV1` of an entry: the pointer, relative to these fields, and
    /// the value to add there.
    pub(crate) fn to_own(&self, fields: &Value) -> (PointerBuf, Value) {
        let (mut pointer, mut fields, mut names) = (PointerBuf::new(), Some(fields), self.0.iter());
        // The pointer ends at the first name that is missing. The value holds the names after it.
        for name in names.by_ref() {
            pointer.push_back(field_key(name));
            fields = fields.and_then(|fields| fields.get(field_key(name)));
            if fields.is_none() {
                break;
            }
        }
        (pointer, nest(names.as_slice()))
    }

    /// The pointer to what holds this field and nothing else, relative to the `FieldsV1` of an entry that owns it. It is
    /// empty if that is all of them: what is left without a field below it would count as a field.
    pub(crate) fn to_disown(&self, fields: &Value) -> PointerBuf {
        let (mut fields, mut depth) = (Some(fields), 0);
        for (above, name) in self.0.iter().enumerate() {
            if fields.and_then(Value::as_object).is_some_and(|fields| fields.len() > 1) {
                depth = above + 1;
            }
            fields = fields.and_then(|fields| fields.get(field_key(name)));
        }
        PointerBuf::from_tokens(self.0.iter().take(depth).map(|name| field_key(name)))
    }

    /// The `FieldsV1` of an entry that owns only this field.
    pub(crate) fn only(&self) -> Value {
        nest(&self.0)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

/// The key of a field in `FieldsV1`.
fn field_key(name: &str) -> String {
    format!("f:{name}")
}

fn nest(names: &[String]) -> Value {
    names.iter().rev().fold(json!({}), |inner, name| json!({field_key(name): inner}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_field_alone_is_found() {
        for (fields, expected) in [
            (json!({"f:spec": {"f:replicas": {}}}), ""),
            (json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}), "/f:spec/f:replicas"),
            (json!({"f:spec": {".": {}, "f:replicas": {}}}), "/f:spec/f:replicas"),
            (json!({"f:spec": {"f:replicas": {}}, "f:metadata": {"f:labels": {}}}), "/f:spec"),
        ] {
            assert_eq!(FieldPath::replicas().to_disown(&fields).as_str(), expected, "{fields}");
        }
    }

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
            assert_eq!(FieldPath::new(path).pointer().as_str(), path.replace('.', "/"));
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
        struct Row {
            fields: Value,
            pointer: &'static str,
            value: Value,
        }
        for Row { fields, pointer, value } in [
            Row { fields: json!({}), pointer: "/f:spec", value: json!({"f:pool": {"f:size": {}}}) },
            Row { fields: json!({"f:spec": {"f:x": {}}}), pointer: "/f:spec/f:pool", value: json!({"f:size": {}}) },
            Row {
                fields: json!({"f:spec": {"f:pool": {".": {}}}}),
                pointer: "/f:spec/f:pool/f:size",
                value: json!({}),
            },
        ] {
            assert!(!path.is_owned(&fields));
            assert_eq!(path.to_own(&fields), (PointerBuf::parse(pointer).unwrap(), value), "{fields}");
        }
        assert!(path.is_owned(&path.only()));
    }
}
