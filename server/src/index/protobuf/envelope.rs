//! The envelopes of the API server's protobuf: wrapped objects, watch events, lists, bookmarks and errors.
//!
//! The field numbers are those of Kubernetes' `generated.proto` in `apimachinery/pkg/runtime` and
//! `apimachinery/pkg/apis/meta/v1`. Kubernetes never reuses a number.

use prost::{Message, bytes::Bytes};
use serde::Serialize;

use super::{
    metadata::{Entry, map},
    text::text,
};

/// Wraps every object outside of lists, after the prefix `k8s\0`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub(super) type_meta: Option<TypeMeta>,
    /// The object itself.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) raw: Bytes,
}

/// The version and kind of an object.
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
    /// The objects, not wrapped. Each is decoded by itself, so that one malformed object does not spoil the list.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) items: Vec<Bytes>,
}

/// The resource version of a list, and the token of its next page.
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

/// The object of a bookmark. An annotation says whether it ends the initial list.
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

/// The API server's answer to a request that failed.
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

impl TypeMeta {
    /// The kind of the items, if this is the kind of a list.
    pub(super) fn item_kind(&self) -> Option<&[u8]> {
        self.kind.strip_suffix(b"List")
    }
}
