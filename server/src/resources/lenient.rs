//! Objects that are read by themselves: one that does not fit its type cannot make a list, an event or an answer
//! unreadable.
//!
//! The API server stores more than our types can hold. Clients choose the times in managedFields, and jiff knows no
//! 31 December 9999. Custom resources may be nested deeper than serde_json reads. A schema accepts several forms of a
//! time, and our types one.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use kube::{
    Resource,
    core::{DynamicObject, PartialObjectMeta},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::Error as _,
};
use serde_json::{Map, Value, json};

use super::replica_count::{ReplicaCount, ReplicaCountStatus};

/// The most levels of an object that are read; what is deeper reads as null. serde_json refuses 128, and a list or an
/// event adds 2. No path to a count is longer: see `field_path`.
const MAX_DEPTH: usize = 110;

/// A type of objects that is read leniently.
pub trait Repair {
    /// Removes from an object, beside its metadata, what does not fit the type and is not needed.
    fn repair(_object: &mut Value) {}
}

impl Repair for DynamicObject {}

impl<K> Repair for PartialObjectMeta<K> {}

impl Repair for ReplicaCount {
    /// A status that anybody else wrote must not end the enforcement. The server's next status replaces it.
    fn repair(object: &mut Value) {
        if let Some(status) = object.get_mut("status") {
            retain_readable::<ReplicaCountStatus>(status);
        }
    }
}

/// An object of the type `K`, or why it is none.
#[derive(Clone, Debug)]
pub struct Lenient<K>(Result<K, Unreadable>);

/// An object that does not fit its type.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// What of its metadata can be read.
    pub metadata: Box<ObjectMeta>,
    /// Its `spec.scaleTargetRef`, if it has one.
    pub scale_target_ref: Value,
    /// Why it does not fit.
    pub reason: String,
}

impl<K> Lenient<K> {
    /// The object.
    ///
    /// # Errors
    ///
    /// When it does not fit the type.
    pub fn read(self) -> Result<K, Unreadable> {
        self.0
    }
}

impl<K> From<K> for Lenient<K> {
    fn from(object: K) -> Self {
        Self(Ok(object))
    }
}

impl<'de, K: DeserializeOwned + Repair> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Bounded(MAX_DEPTH).deserialize(deserializer)?;
        if let Ok(read) = K::deserialize(&object) {
            return Ok(Self(Ok(read)));
        }
        if let Some(metadata) = object.get_mut("metadata") {
            repair_metadata(metadata);
        }
        K::repair(&mut object);
        Ok(Self(K::deserialize(&object).map_err(|error| Unreadable {
            metadata: object.get("metadata").and_then(|metadata| Box::deserialize(metadata).ok()).unwrap_or_default(),
            scale_target_ref: object.pointer("/spec/scaleTargetRef").cloned().unwrap_or_default(),
            reason: error.to_string(),
        })))
    }
}

impl<K: Serialize> Serialize for Lenient<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &K::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &K::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &K::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &*unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut *unreadable.metadata, K::meta_mut)
    }
}

/// Removes from metadata what does not fit its type. An object with a time of deletion stays one.
fn repair_metadata(metadata: &mut Value) {
    if let Some(time) = metadata.get_mut("deletionTimestamp")
        && !time.is_null()
        && !is_readable::<ObjectMeta>("deletionTimestamp", time)
    {
        *time = json!(Timestamp::MAX);
    }
    repair_each::<ManagedFieldsEntry>(metadata, "managedFields");
    repair_each::<OwnerReference>(metadata, "ownerReferences");
    retain_readable::<ObjectMeta>(metadata);
}

/// What can be read of an entry of managedFields.
pub(crate) fn read_field_owner(entry: &Value) -> ManagedFieldsEntry {
    let mut entry = entry.clone();
    retain_readable::<ManagedFieldsEntry>(&mut entry);
    ManagedFieldsEntry::deserialize(&entry).unwrap_or_default()
}

/// Repairs each entry of a list, and removes those that cannot be repaired.
fn repair_each<T: DeserializeOwned>(metadata: &mut Value, field: &str) {
    if let Some(entries) = metadata.get_mut(field).and_then(Value::as_array_mut) {
        entries.retain_mut(|entry| {
            retain_readable::<T>(entry);
            T::deserialize(&*entry).is_ok()
        });
    }
}

/// Removes the fields that do not fit a type in which no field is required.
pub(crate) fn retain_readable<T: DeserializeOwned>(object: &mut Value) {
    if T::deserialize(&*object).is_ok() {
        return;
    }
    match object.as_object_mut() {
        Some(fields) => fields.retain(|name, value| is_readable::<T>(name, value)),
        None => *object = json!({}),
    }
}

/// Whether a field fits a type. The required fields of the type do not count.
fn is_readable<T: DeserializeOwned>(name: &str, value: &Value) -> bool {
    let Err(error) = T::deserialize(json!({name: value})) else { return true };
    error.to_string().starts_with("missing field")
}

/// Reads JSON down to a number of levels.
struct Bounded(usize);

impl Bounded {
    /// What is one level deeper; `None` if that is too deep.
    fn below(&self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

/// Reads a value that is too deep as null.
struct Below(Option<Bounded>);

impl<'de> DeserializeSeed<'de> for Below {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Some(bounded) => bounded.deserialize(deserializer),
            // serde_json skips a value without recursion, whatever its depth.
            None => IgnoredAny::deserialize(deserializer).map(|_| Value::Null),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_element_seed(Below(self.below()))? {
            all.push(entry);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            all.insert(name, fields.next_value_seed(Below(self.below()))?);
        }
        Ok(all.into())
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{ObjectList, WatchEvent};

    use super::*;
    use crate::resources::{ReplicaCountState, fixtures::full_replica_count};

    /// The time that was found first: Kubernetes stores it, and jiff cannot hold it.
    const END: &str = "9999-12-31T00:00:00Z";

    fn deep(levels: usize) -> Value {
        (0..levels).fold(json!({}), |inner, _| json!({"f:x": inner}))
    }

    fn object(change: impl FnOnce(&mut Value)) -> Value {
        let mut object = serde_json::to_value(full_replica_count()).unwrap();
        change(&mut object);
        object
    }

    fn read(object: &Value) -> Result<ReplicaCount, Unreadable> {
        serde_json::from_str::<Lenient<ReplicaCount>>(&object.to_string()).unwrap().read()
    }

    #[test]
    fn odd_metadata_and_an_odd_status_leave_the_spec_readable() {
        struct Row {
            name: &'static str,
            path: &'static str,
            value: Value,
        }
        let entry = |time: &str, fields: Value| json!([{"manager": "m", "time": time, "fieldsV1": fields}]);
        for row in [
            Row { name: "a time of an owner", path: "/metadata/managedFields", value: entry(END, json!({})) },
            Row {
                name: "deep fields",
                path: "/metadata/managedFields",
                value: entry("0000-01-01T00:00:00Z", deep(200)),
            },
            Row { name: "no list of owners", path: "/metadata/managedFields", value: json!({"a": 1}) },
            Row { name: "the time of its creation", path: "/metadata/creationTimestamp", value: json!(END) },
            Row { name: "owners without a name", path: "/metadata/ownerReferences", value: json!([{"kind": 1}]) },
            Row { name: "a label that is a number", path: "/metadata/labels", value: json!({"a": 1}) },
            Row { name: "a generation that is a text", path: "/metadata/generation", value: json!("1") },
            Row { name: "a status that is a list", path: "/status", value: json!([1]) },
            Row { name: "an odd drift", path: "/status/lastDrift", value: json!({"manager": "m", "at": END}) },
            Row { name: "a huge number", path: "/status/drifts", value: json!(1e30) },
        ] {
            let (parent, field) = row.path.rsplit_once('/').unwrap();
            let count = read(&object(|object| object.pointer_mut(parent).unwrap()[field] = row.value)).unwrap();
            assert_eq!(count.spec, full_replica_count().spec, "{}", row.name);
            assert_eq!(count.metadata.name, full_replica_count().metadata.name, "{}", row.name);
        }
    }

    #[test]
    fn what_can_be_read_of_odd_metadata_is_kept() {
        let owned = json!({"f:spec": {"f:replicas": {}, "f:deep": deep(200)}});
        let count = read(&object(|object| {
            object["metadata"]["deletionTimestamp"] = json!(END);
            object["metadata"]["managedFields"] =
                json!([{"manager": "m", "time": END, "fieldsV1": owned}, {"manager": 1}]);
            object["status"]["lastDrift"] = json!(1);
        }))
        .unwrap();
        let status = count.status.clone().unwrap();
        assert_eq!(status.last_drift, None);
        assert_eq!(status.drifts, full_replica_count().status.unwrap().drifts);
        let state = ReplicaCountState::from(count);
        assert!(state.deleting);
        assert_eq!(&*state.writers.replicas, "m");
    }

    #[test]
    fn an_odd_spec_is_unreadable_and_still_has_a_name_and_a_target() {
        let odd = object(|object| object["spec"]["override"] = json!({"replicas": 1, "until": "2030-01-01T00:00:00"}));
        let unreadable = read(&odd).unwrap_err();
        assert_eq!(unreadable.metadata.name, full_replica_count().metadata.name);
        assert_eq!(unreadable.scale_target_ref["kind"], "Deployment");
        assert!(!unreadable.reason.is_empty());
        for text in ["null", "1", "\"x\"", "[[]]", "{}", "{\"metadata\": 1}"] {
            assert!(serde_json::from_str::<Lenient<ReplicaCount>>(text).unwrap().read().is_err(), "{text}");
        }
    }

    #[test]
    fn one_odd_object_leaves_its_list_and_its_watch_readable() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let odd = format!("{{\"metadata\": {{\"name\": \"odd\", \"x\": {0}}}, \"spec\": {0}}}", nested(100_000));
        let good = object(|_| ());
        let list = format!("{{\"metadata\": {{}}, \"items\": [{odd}, {good}]}}");
        let list: ObjectList<Lenient<ReplicaCount>> = serde_json::from_str(&list).unwrap();
        let read: Vec<_> = list.items.into_iter().map(|item| item.read().is_ok()).collect();
        assert_eq!(read, [false, true]);
        let event = format!("{{\"type\": \"DELETED\", \"object\": {odd}}}");
        let event: WatchEvent<Lenient<ReplicaCount>> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Deleted(object) = event else { panic!("{event:?}") };
        assert_eq!(object.meta().name.as_deref(), Some("odd"));
    }

    #[test]
    fn a_deep_custom_resource_keeps_its_count() {
        let widget =
            json!({"metadata": {"name": "w", "managedFields": [{"time": END}]}, "spec": {"size": 3, "x": deep(200)}});
        let widget: Lenient<DynamicObject> = serde_json::from_str(&widget.to_string()).unwrap();
        let widget = widget.read().unwrap();
        assert_eq!((widget.metadata.name.as_deref(), &widget.data["spec"]["size"]), (Some("w"), &json!(3)));
    }
}
