//! The API server's protobuf messages, as little of them as the cache keeps, and the JSON of the same objects.
//!
//! The numbers of the fields are those of Kubernetes' `generated.proto` files: `apimachinery/pkg/runtime`,
//! `apimachinery/pkg/apis/meta/v1` and `api/apps/v1`. Like all of the API they are never given to another field.
//!
//! Texts are bytes: the API server stores what is no UTF-8 where a client wrote it in protobuf, and one such object must
//! not keep all others from being read. Go's JSON has the replacement character there, and so has this.

use jiff::Timestamp;
use prost::{Message, bytes::Bytes};
use serde_json::{Map, Value, json};

use super::Malformed;
use crate::api::owns_replicas;

/// What every object is wrapped in, after [`MAGIC`](super::MAGIC).
#[derive(Clone, PartialEq, Message)]
pub(super) struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub(super) type_meta: Option<TypeMeta>,
    /// The object itself.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) raw: Bytes,
}

/// What an object is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeMeta {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) api_version: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) kind: Bytes,
}

/// One event of a watch.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchEvent {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) r#type: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(super) object: Option<RawExtension>,
}

/// The object of an event, wrapped in [`Unknown`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct RawExtension {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) raw: Bytes,
}

/// A list of any kind.
#[derive(Clone, PartialEq, Message)]
pub(super) struct List {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ListMeta>,
    /// Each an [`Object`], not wrapped, and read by itself.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) items: Vec<Bytes>,
}

/// Where a list stands, and where it goes on.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListMeta {
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) resource_version: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) r#continue: Bytes,
}

/// An object of the group `apps`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Object {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<Spec>,
    /// A message of its own for each kind.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) status: Bytes,
}

/// The metadata of an object.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ObjectMeta {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) namespace: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) uid: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) resource_version: Bytes,
    #[prost(message, optional, tag = "9")]
    pub(super) deletion_timestamp: Option<Time>,
    #[prost(message, repeated, tag = "11")]
    pub(super) labels: Vec<Entry>,
    #[prost(message, repeated, tag = "13")]
    pub(super) owner_references: Vec<OwnerReference>,
    #[prost(message, repeated, tag = "17")]
    pub(super) managed_fields: Vec<ManagedFieldsEntry>,
}

/// An entry of a map of texts.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// A time, to the second.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Time {
    /// Since 1970; absent in a time that is none.
    #[prost(int64, optional, tag = "1")]
    pub(super) seconds: Option<i64>,
}

/// An owner of an object.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OwnerReference {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) kind: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) uid: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) api_version: Bytes,
    #[prost(bool, tag = "6")]
    pub(super) controller: bool,
}

/// What a field manager owns.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ManagedFieldsEntry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) manager: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) operation: Bytes,
    #[prost(message, optional, tag = "4")]
    pub(super) time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    pub(super) fields_v1: Option<FieldsV1>,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) subresource: Bytes,
}

/// The fields of an entry, which are JSON in both formats.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldsV1 {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) raw: Bytes,
}

/// The spec of every kind of `apps`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Spec {
    #[prost(int32, optional, tag = "1")]
    pub(super) replicas: Option<i32>,
}

/// The status of a Deployment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeploymentStatus {
    #[prost(int32, tag = "7")]
    pub(super) ready_replicas: i32,
}

/// The status of a StatefulSet.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatefulSetStatus {
    #[prost(int32, tag = "3")]
    pub(super) ready_replicas: i32,
}

/// The status of a ReplicaSet.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReplicaSetStatus {
    #[prost(int32, tag = "4")]
    pub(super) ready_replicas: i32,
}

/// The object of a bookmark: what it is the end of is written in its annotations.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Bookmark {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<BookmarkMeta>,
}

/// The metadata of a bookmark.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BookmarkMeta {
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) resource_version: Bytes,
    #[prost(message, repeated, tag = "12")]
    pub(super) annotations: Vec<Entry>,
}

/// Why something was refused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) status: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) message: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) reason: Bytes,
    #[prost(int32, tag = "6")]
    pub(super) code: i32,
}

fn text(bytes: &Bytes) -> Value {
    String::from_utf8_lossy(bytes).into()
}

fn map(entries: &[Entry]) -> Value {
    let entries = entries.iter().map(|entry| (String::from_utf8_lossy(&entry.key).into_owned(), text(&entry.value)));
    Value::Object(entries.collect())
}

impl Object {
    /// The object of this kind in JSON.
    pub(super) fn to_json(&self, kind: &[u8]) -> Result<Value, Malformed> {
        let status = self.status.clone();
        let ready = match kind {
            b"Deployment" => DeploymentStatus::decode(status)?.ready_replicas,
            b"StatefulSet" => StatefulSetStatus::decode(status)?.ready_replicas,
            b"ReplicaSet" => ReplicaSetStatus::decode(status)?.ready_replicas,
            _ => return Err(Malformed::Kind),
        };
        Ok(json!({
            "metadata": self.metadata.as_ref().map(ObjectMeta::to_json),
            "spec": {"replicas": self.spec.as_ref().and_then(|spec| spec.replicas)},
            "status": {"readyReplicas": ready},
        }))
    }
}

impl ObjectMeta {
    fn to_json(&self) -> Value {
        let mut metadata = Map::new();
        for (name, value) in [
            ("name", text(&self.name)),
            ("namespace", text(&self.namespace)),
            ("uid", text(&self.uid)),
            ("resourceVersion", text(&self.resource_version)),
            ("labels", map(&self.labels)),
            ("ownerReferences", self.owner_references.iter().map(OwnerReference::to_json).collect()),
            ("managedFields", self.managed_fields.iter().map(ManagedFieldsEntry::to_json).collect()),
        ] {
            metadata.insert(name.to_owned(), value);
        }
        if let Some(time) = &self.deletion_timestamp {
            metadata.insert("deletionTimestamp".to_owned(), time.to_json());
        }
        Value::Object(metadata)
    }
}

impl Time {
    fn to_json(&self) -> Value {
        let time = self.seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(|time| time.to_string()).into()
    }
}

impl OwnerReference {
    fn to_json(&self) -> Value {
        json!({"apiVersion": text(&self.api_version), "kind": text(&self.kind), "name": text(&self.name),
               "uid": text(&self.uid), "controller": self.controller})
    }
}

impl ManagedFieldsEntry {
    fn to_json(&self) -> Value {
        let owns = self.fields_v1.as_ref().is_some_and(|fields| owns_replicas(&fields.raw));
        let fields = if owns { json!({"f:spec": {"f:replicas": {}}}) } else { json!({}) };
        json!({"manager": text(&self.manager), "operation": text(&self.operation),
               "subresource": text(&self.subresource), "time": self.time.as_ref().map(Time::to_json),
               "fieldsV1": fields})
    }
}

impl Bookmark {
    /// What is read of the object, in JSON.
    pub(super) fn to_json(&self) -> Value {
        let metadata = self.metadata.clone().unwrap_or_default();
        let (version, annotations) = (text(&metadata.resource_version), map(&metadata.annotations));
        json!({"metadata": {"resourceVersion": version, "annotations": annotations}})
    }
}

impl ListMeta {
    /// The metadata in JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({"resourceVersion": text(&self.resource_version), "continue": text(&self.r#continue)})
    }
}

impl TypeMeta {
    /// The kind of the objects, if it is that of a list.
    pub(super) fn item_kind(&self) -> Option<&[u8]> {
        self.kind.strip_suffix(b"List")
    }

    /// The object of this type in JSON, with these further fields.
    pub(super) fn with(&self, fields: Value) -> Value {
        let mut object = json!({"apiVersion": text(&self.api_version), "kind": text(&self.kind)});
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        object
    }
}

impl Status {
    /// The object in JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Status", "status": text(&self.status), "message": text(&self.message),
               "reason": text(&self.reason), "code": self.code})
    }
}
