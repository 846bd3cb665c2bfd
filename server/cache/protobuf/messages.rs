//! The API server's protobuf messages, as little of them as the cache keeps, and the JSON of the same objects.
//!
//! The numbers of the fields are those of Kubernetes' `generated.proto` files: `apimachinery/pkg/runtime`,
//! `apimachinery/pkg/apis/meta/v1` and `api/apps/v1`. Like all of the API they are never given to another field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::{Message, bytes::Bytes};
use serde_json::{Map, Value, json};

use crate::api::owns_replicas;

/// What every object is wrapped in, after [`MAGIC`](super::MAGIC).
#[derive(Clone, PartialEq, Message)]
pub struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub type_meta: Option<TypeMeta>,
    /// The object itself.
    #[prost(bytes = "bytes", tag = "2")]
    pub raw: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct TypeMeta {
    #[prost(string, tag = "1")]
    pub api_version: String,
    #[prost(string, tag = "2")]
    pub kind: String,
}

/// One event of a watch; its object is wrapped in [`Unknown`].
#[derive(Clone, PartialEq, Message)]
pub struct WatchEvent {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(message, optional, tag = "2")]
    pub object: Option<RawExtension>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RawExtension {
    #[prost(bytes = "bytes", tag = "1")]
    pub raw: Bytes,
}

/// A list of any kind, its objects not wrapped.
#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<Object>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListMeta {
    #[prost(string, tag = "2")]
    pub resource_version: String,
    #[prost(string, tag = "3")]
    pub r#continue: String,
}

/// An object of the group `apps`.
#[derive(Clone, PartialEq, Message)]
pub struct Object {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub spec: Option<Spec>,
    /// A message of its own for each kind.
    #[prost(bytes = "bytes", tag = "3")]
    pub status: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct ObjectMeta {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "5")]
    pub uid: String,
    #[prost(string, tag = "6")]
    pub resource_version: String,
    #[prost(message, optional, tag = "9")]
    pub deletion_timestamp: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    pub labels: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    pub owner_references: Vec<OwnerReference>,
    #[prost(message, repeated, tag = "17")]
    pub managed_fields: Vec<ManagedFieldsEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Time {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct OwnerReference {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub uid: String,
    #[prost(string, tag = "5")]
    pub api_version: String,
    #[prost(bool, tag = "6")]
    pub controller: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ManagedFieldsEntry {
    #[prost(string, tag = "1")]
    pub manager: String,
    #[prost(string, tag = "2")]
    pub operation: String,
    #[prost(message, optional, tag = "4")]
    pub time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    pub fields_v1: Option<FieldsV1>,
    #[prost(string, tag = "8")]
    pub subresource: String,
}

/// The fields of an entry, which are JSON in both formats.
#[derive(Clone, PartialEq, Message)]
pub struct FieldsV1 {
    #[prost(bytes = "bytes", tag = "1")]
    pub raw: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct Spec {
    #[prost(int32, optional, tag = "1")]
    pub replicas: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeploymentStatus {
    #[prost(int32, tag = "7")]
    pub ready_replicas: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct StatefulSetStatus {
    #[prost(int32, tag = "3")]
    pub ready_replicas: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReplicaSetStatus {
    #[prost(int32, tag = "4")]
    pub ready_replicas: i32,
}

/// The object of a bookmark: what it is the end of is written in its annotations.
#[derive(Clone, PartialEq, Message)]
pub struct Bookmark {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<BookmarkMeta>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BookmarkMeta {
    #[prost(string, tag = "6")]
    pub resource_version: String,
    #[prost(btree_map = "string, string", tag = "12")]
    pub annotations: BTreeMap<String, String>,
}

/// Why something was refused.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(string, tag = "2")]
    pub status: String,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(string, tag = "4")]
    pub reason: String,
    #[prost(int32, tag = "6")]
    pub code: i32,
}

impl Object {
    /// The object of this kind in JSON.
    pub fn to_json(&self, kind: &str) -> Result<Value, prost::DecodeError> {
        let status = self.status.clone();
        let ready = match kind {
            "Deployment" => DeploymentStatus::decode(status)?.ready_replicas,
            "StatefulSet" => StatefulSetStatus::decode(status)?.ready_replicas,
            "ReplicaSet" => ReplicaSetStatus::decode(status)?.ready_replicas,
            _ => 0,
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
        for (name, text) in [
            ("name", &self.name),
            ("namespace", &self.namespace),
            ("uid", &self.uid),
            ("resourceVersion", &self.resource_version),
        ] {
            metadata.insert(name.to_owned(), Value::from(&**text));
        }
        if let Some(time) = &self.deletion_timestamp {
            metadata.insert("deletionTimestamp".to_owned(), time.to_json());
        }
        metadata.insert("labels".to_owned(), json!(self.labels));
        let owners = self.owner_references.iter().map(OwnerReference::to_json);
        metadata.insert("ownerReferences".to_owned(), owners.collect());
        let entries = self.managed_fields.iter().map(ManagedFieldsEntry::to_json);
        metadata.insert("managedFields".to_owned(), entries.collect());
        Value::Object(metadata)
    }
}

impl Time {
    fn to_json(&self) -> Value {
        Timestamp::from_second(self.seconds).map_or(Value::Null, |time| time.to_string().into())
    }
}

impl OwnerReference {
    fn to_json(&self) -> Value {
        json!({"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid,
               "controller": self.controller})
    }
}

impl ManagedFieldsEntry {
    fn to_json(&self) -> Value {
        let owns = self.fields_v1.as_ref().is_some_and(|fields| owns_replicas(&fields.raw));
        let fields = if owns { json!({"f:spec": {"f:replicas": {}}}) } else { json!({}) };
        json!({"manager": self.manager, "operation": self.operation, "subresource": self.subresource,
               "time": self.time.as_ref().map(Time::to_json), "fieldsV1": fields})
    }
}

impl Bookmark {
    /// The object in JSON.
    pub fn to_json(&self, types: &TypeMeta) -> Value {
        let metadata = self.metadata.clone().unwrap_or_default();
        json!({
            "apiVersion": types.api_version, "kind": types.kind,
            "metadata": {"resourceVersion": metadata.resource_version, "annotations": metadata.annotations},
        })
    }
}

impl Status {
    /// The object in JSON.
    pub fn to_json(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Status", "status": self.status, "message": self.message,
               "reason": self.reason, "code": self.code})
    }
}
