//! Translates single messages: the events of a watch, objects and lists.

use std::borrow::Cow;

use prost::{Message, bytes::Bytes};
use serde::Serialize;
use serde_json::Value;
use tracing::warn;

use super::{
    envelope::{Bookmark, List, ListMeta, Status, TypeMeta, Unknown, WatchEvent},
    malformed::Malformed,
    workload::{Object, Workload},
};
use crate::telemetry;

/// The prefix of every object outside of lists.
pub(super) const MAGIC: &[u8] = b"k8s\0";

/// An event as JSON. An unreadable event becomes a JSON string with the reason. The watcher reports it as an error and
/// reads on.
pub(super) fn event_line(event: Bytes) -> String {
    event_to_json(event).unwrap_or_else(|error| Value::from(telemetry::chain(&error)).to_string())
}

/// A watch event. Its type comes first, because kube would have to buffer an object that comes before its type.
#[derive(Serialize)]
struct Event<'a> {
    r#type: Cow<'a, str>,
    object: Single,
}

/// The object of an event, or of an answer that is not a list.
#[derive(Serialize)]
#[serde(untagged)]
enum Single {
    Object(Workload),
    Bookmark(Typed<Bookmark>),
    Status(Typed<Status>),
}

/// A list.
#[derive(Serialize)]
struct Workloads {
    metadata: ListMeta,
    items: Vec<Workload>,
}

/// A message with its version and kind.
#[derive(Serialize)]
struct Typed<T> {
    #[serde(flatten)]
    types: TypeMeta,
    #[serde(flatten)]
    fields: T,
}

pub(super) fn event_to_json(event: Bytes) -> Result<String, Malformed> {
    let event = WatchEvent::decode(event)?;
    let (types, raw) = strip_envelope(event.object.unwrap_or_default().raw)?;
    let object = match &*event.r#type {
        b"BOOKMARK" => Single::Bookmark(Typed { types, fields: Bookmark::decode(raw)? }),
        _ => read_single(types, raw)?,
    };
    Ok(serde_json::to_string(&Event { r#type: String::from_utf8_lossy(&event.r#type), object })?)
}

/// Translates an object or a list. Leaves out of a list the items that cannot be read.
pub(super) fn object_or_list_to_json(body: Bytes) -> Result<String, Malformed> {
    let (types, raw) = strip_envelope(body)?;
    let Some(kind) = types.item_kind() else { return Ok(serde_json::to_string(&read_single(types, raw)?)?) };
    let list = List::decode(raw)?;
    let items = list.items.into_iter().map(|object| Object::decode(object)?.of_kind(kind));
    let items = items
        .filter_map(|object| {
            object
                .inspect_err(|error| warn!(error = telemetry::chain(error), "object cannot be read and is left alone"))
                .ok()
        })
        .collect();
    let fields = Workloads { metadata: list.metadata.unwrap_or_default(), items };
    Ok(serde_json::to_string(&Typed { types, fields })?)
}

fn read_single(types: TypeMeta, raw: Bytes) -> Result<Single, Malformed> {
    Ok(match &*types.kind {
        b"Status" => Single::Status(Typed { fields: Status::decode(raw)?, types }),
        kind => Single::Object(Object::decode(raw)?.of_kind(kind)?),
    })
}

/// The version and kind of a wrapped object, and its message.
fn strip_envelope(wrapped: Bytes) -> Result<(TypeMeta, Bytes), Malformed> {
    if !wrapped.starts_with(MAGIC) {
        return Err(Malformed::Magic);
    }
    let Unknown { type_meta, raw } = Unknown::decode(wrapped.slice(MAGIC.len()..))?;
    Ok((type_meta.unwrap_or_default(), raw))
}
