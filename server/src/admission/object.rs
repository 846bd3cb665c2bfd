//! Single fields of objects, read without the rest. An object is up to megabytes large, and may be nested without end.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::resources::{FieldPath, Uid, parse_resource_version};

/// What of an object's metadata matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    name: String,
    uid: String,
    resource_version: String,
    owner_references: Vec<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    controller: Option<bool>,
}

impl Metadata {
    /// Reads the metadata of an object. What cannot be read is empty.
    pub(super) fn of(object: &RawValue) -> Self {
        field(object, "metadata").and_then(|metadata| serde_json::from_str(metadata.get()).ok()).unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn uid(&self) -> Uid {
        Uid::from(&*self.uid)
    }

    pub(super) fn version(&self) -> u64 {
        parse_resource_version(&self.resource_version)
    }

    /// Whether another object controls this one.
    pub(super) fn is_controlled(&self) -> bool {
        self.owner_references.iter().any(|owner| owner.controller == Some(true))
    }
}

/// A count in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundCount {
    /// Whether there is everything on the way to the count, so that a patch of the count alone can store another.
    pub(super) has_place: bool,
    /// The count, in replicas. `None` if the field is absent or is not a count.
    pub(super) count: Option<i32>,
}

/// Finds the count of an object.
pub(super) fn count_in(object: &RawValue, path: &FieldPath) -> FoundCount {
    let (mut value, mut names) = (object, path.names().peekable());
    while let Some(name) = names.next() {
        let Some(below) = field(value, name).filter(|below| below.get() != "null") else {
            let is_last = names.peek().is_none();
            return FoundCount { has_place: is_last && value.get().starts_with('{'), count: None };
        };
        value = below;
    }
    FoundCount { has_place: true, count: value.get().parse().ok() }
}

/// A field of an object. `None` if the object has no such field, or is no object. What comes after the field is not
/// read: an object may be large, and several of its fields are looked up.
pub(super) fn field<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let found = Cell::new(None);
    // It ends in an error if the field is not the last one.
    let _ = serde_json::Deserializer::from_str(object.get()).deserialize_map(Field { name, found: &found });
    found.get()
}

/// Reads one field, skips those before it, and leaves those after it.
struct Field<'n, 'f, 'de> {
    name: &'n str,
    found: &'f Cell<Option<&'de RawValue>>,
}

impl<'de> Visitor<'de> for Field<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            if name == self.name {
                self.found.set(Some(fields.next_value()?));
                return Ok(());
            }
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn a_count_is_found_at_its_path() {
        for (name, object, has_place, count) in [
            ("a count", r#"{"spec": {"other": [1], "replicas": 3}}"#, true, Some(3)),
            ("zero", r#"{"spec": {"replicas": 0}}"#, true, Some(0)),
            ("absent", r#"{"spec": {}}"#, true, None),
            ("null", r#"{"spec": {"replicas": null}}"#, true, None),
            ("no spec", r"{}", false, None),
            ("a text", r#"{"spec": {"replicas": "3"}}"#, true, None),
            ("a fraction", r#"{"spec": {"replicas": 3.0}}"#, true, None),
            ("too large", r#"{"spec": {"replicas": 3000000000}}"#, true, None),
            ("a spec that is null", r#"{"spec": null}"#, false, None),
            ("a spec that is a list", r#"{"spec": [3]}"#, false, None),
            ("a spec that is a text", r#"{"spec": "{}"}"#, false, None),
            ("no object", "3", false, None),
        ] {
            let found = count_in(&raw(object), &FieldPath::new(".spec.replicas"));
            assert_eq!(found, FoundCount { has_place, count }, "{name}");
        }
    }

    #[test]
    fn what_comes_after_a_field_is_not_read() {
        // Reading half of a surrogate pair fails; skipping it does not.
        let odd = r#""\ud800": 1"#;
        for (name, object, expected) in [
            ("after it", format!(r#"{{"spec": {{"replicas": 3, {odd}}}, {odd}}}"#), Some(3)),
            ("before it", format!(r#"{{{odd}, "spec": {{"replicas": 3}}}}"#), None),
            ("the last one", r#"{"x": 1, "spec": {"y": 2, "replicas": 3}}"#.to_owned(), Some(3)),
        ] {
            assert_eq!(count_in(&raw(&object), &FieldPath::new(".spec.replicas")).count, expected, "{name}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_skipped() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let object = format!(r#"{{"x": {deep}, "spec": {{"y": {deep}, "replicas": 3}}, "metadata": {{"uid": "u"}}}}"#);
        let object = raw(&object);
        assert_eq!(count_in(&object, &FieldPath::new(".spec.replicas")).count, Some(3));
        assert_eq!(Metadata::of(&object).uid(), Uid::from("u"));
    }

    #[test]
    fn odd_metadata_is_empty() {
        for text in [r#"{"metadata": 1}"#, r#"{"metadata": {"uid": 1}}"#, "[]", "{}"] {
            let metadata = Metadata::of(&raw(text));
            assert_eq!((metadata.uid(), metadata.version(), metadata.is_controlled()), (Uid::default(), 0, false));
        }
        let owned = raw(r#"{"metadata": {"ownerReferences": [{"kind": "x"}, {"controller": true}]}}"#);
        assert!(Metadata::of(&owned).is_controlled());
    }
}
