//! The API server's protobuf messages, as little of them as the cache keeps, and the JSON of the same objects.
//!
//! The numbers of the fields are those of Kubernetes' `generated.proto` files: `apimachinery/pkg/runtime`,
//! `apimachinery/pkg/apis/meta/v1` and `api/apps/v1`. Like all of the API they are never given to another field.
//!
//! Texts are bytes: the API server stores what is no UTF-8 where a client wrote it in protobuf, and one such object must
//! not keep all others from being read. Go's JSON has the replacement character there, and so has this.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::{Message, bytes::Bytes};
use serde::{Serialize, Serializer};

use super::Malformed;
use crate::resources::owns_replicas;

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
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TypeMeta {
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(serialize_with = "text")]
    pub(super) api_version: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(serialize_with = "text")]
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
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMeta {
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(serialize_with = "text")]
    pub(super) resource_version: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(serialize_with = "text")]
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
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectMeta {
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(serialize_with = "text")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(serialize_with = "text")]
    pub(super) namespace: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    #[serde(serialize_with = "text")]
    pub(super) uid: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    #[serde(serialize_with = "text")]
    pub(super) resource_version: Bytes,
    #[prost(message, optional, tag = "9")]
    pub(super) deletion_timestamp: Option<Time>,
    #[prost(message, repeated, tag = "11")]
    #[serde(serialize_with = "map")]
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
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerReference {
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(serialize_with = "text")]
    pub(super) kind: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(serialize_with = "text")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(serialize_with = "text")]
    pub(super) uid: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    #[serde(serialize_with = "text")]
    pub(super) api_version: Bytes,
    #[prost(bool, tag = "6")]
    pub(super) controller: bool,
}

/// What a field manager owns.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManagedFieldsEntry {
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(serialize_with = "text")]
    pub(super) manager: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(serialize_with = "text")]
    pub(super) operation: Bytes,
    #[prost(message, optional, tag = "4")]
    pub(super) time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    #[serde(rename = "fieldsV1")]
    pub(super) fields_v1: Option<FieldsV1>,
    #[prost(bytes = "bytes", tag = "8")]
    #[serde(serialize_with = "text")]
    pub(super) subresource: Bytes,
}

/// The fields of an entry, which are JSON in both formats.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldsV1 {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) raw: Bytes,
}

/// The spec of every kind of `apps`.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bookmark {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<BookmarkMeta>,
}

/// The metadata of a bookmark.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookmarkMeta {
    #[prost(bytes = "bytes", tag = "6")]
    #[serde(serialize_with = "text")]
    pub(super) resource_version: Bytes,
    #[prost(message, repeated, tag = "12")]
    #[serde(serialize_with = "map")]
    pub(super) annotations: Vec<Entry>,
}

/// Why something was refused.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(serialize_with = "text")]
    pub(super) status: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(serialize_with = "text")]
    pub(super) message: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(serialize_with = "text")]
    pub(super) reason: Bytes,
    #[prost(int32, tag = "6")]
    pub(super) code: i32,
}

/// An object of the group `apps` as its JSON has it.
#[derive(Serialize)]
pub(super) struct Workload {
    metadata: Option<ObjectMeta>,
    spec: Spec,
    status: Ready,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    ready_replicas: i32,
}

impl Object {
    /// The object of this kind.
    pub(super) fn of_kind(self, kind: &[u8]) -> Result<Workload, Malformed> {
        let Self { metadata, spec, status } = self;
        let ready_replicas = match kind {
            b"Deployment" => DeploymentStatus::decode(status)?.ready_replicas,
            b"StatefulSet" => StatefulSetStatus::decode(status)?.ready_replicas,
            b"ReplicaSet" => ReplicaSetStatus::decode(status)?.ready_replicas,
            _ => return Err(Malformed::Kind),
        };
        Ok(Workload { metadata, spec: spec.unwrap_or_default(), status: Ready { ready_replicas } })
    }
}

impl TypeMeta {
    /// The kind of the objects, if it is that of a list.
    pub(super) fn item_kind(&self) -> Option<&[u8]> {
        self.kind.strip_suffix(b"List")
    }
}

fn text<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

fn map<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
    let text = |bytes| String::from_utf8_lossy(bytes);
    serializer.collect_map(entries.iter().map(|entry| (text(&entry.key), text(&entry.value))))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).serialize(serializer)
    }
}

impl Serialize for FieldsV1 {
    /// What is asked of the fields: whether the count is among them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let replicas = BTreeMap::from([("f:replicas", BTreeMap::<(), ()>::new())]);
        serializer.collect_map(owns_replicas(&self.raw).then_some(("f:spec", replicas)))
    }
}
