//! The metadata of objects in protobuf, and in JSON.
//!
//! The field numbers are those of Kubernetes' `apimachinery/pkg/apis/meta/v1/generated.proto`. Kubernetes never reuses
//! a number.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::{Message, bytes::Bytes};
use serde::{Serialize, Serializer};

use super::text::text;
use crate::resources::owns_replicas;

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

/// An entry of a map.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// A time in whole seconds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Time {
    /// Seconds since 1970. `None` stands for an invalid time.
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

/// The fields that a field manager owns.
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

/// The fields of an entry. They are JSON in protobuf too.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldsV1 {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) raw: Bytes,
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).serialize(serializer)
    }
}

impl Serialize for FieldsV1 {
    /// Writes only whether the fields contain the count, because the index stores nothing else of them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let replicas = BTreeMap::from([("f:replicas", BTreeMap::<(), ()>::new())]);
        serializer.collect_map(owns_replicas(&self.raw).then_some(("f:spec", replicas)))
    }
}

/// Serializes the entries of a map.
pub(super) fn map<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
    let text = |bytes| String::from_utf8_lossy(bytes);
    serializer.collect_map(entries.iter().map(|entry| (text(&entry.key), text(&entry.value))))
}
