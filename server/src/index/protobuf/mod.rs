//! Protobuf from the API server for kube's watcher, which reads only JSON.
//!
//! The API server writes protobuf several times faster than JSON: with 100,000 Deployments that is most of what a start
//! waits for. What is not kept of an object is skipped here, and the rest becomes JSON of a tenth of the size.

#[cfg(test)]
mod fuzz;
mod messages;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, io};

use futures::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame},
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use kube::{Client, client::Body};
use prost::Message;
use serde::Serialize;
use serde_json::Value;
use tokio_util::{
    codec::{FramedRead, LengthDelimitedCodec},
    io::StreamReader,
};
use tower::{BoxError, service_fn};
use tracing::warn;

use self::messages::{Bookmark, List, ListMeta, Object, Status, TypeMeta, Unknown, WatchEvent, Workload};
use crate::telemetry;

/// What an API server is asked for that speaks it; any other answers in JSON.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf,application/json";

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: &str = "application/json";

/// What each object begins with, outside of lists.
const MAGIC: &[u8] = b"k8s\0";

/// The largest object that is read, in bytes: ten times what etcd stores unless it is told otherwise. A larger one would
/// restart the watch.
const MAX_OBJECT: usize = 16 * 1024 * 1024;

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("it does not begin as the API server's protobuf does")]
    Magic,
    #[error("it is of no kind of the group apps")]
    Kind,
    #[error("a message is malformed")]
    Message(#[from] prost::DecodeError),
    #[error("it cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The same client for lists and watches of the group `apps`, over protobuf.
pub fn client(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |mut request: Request<Body>| {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let client = client.clone();
        async move { to_json(client.send(request).await?).await }
    });
    Client::new(service, namespace)
}

/// An answer in JSON.
async fn to_json<B>(answer: Response<B>) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (mut head, body) = answer.into_parts();
    let body = body.map_err(B::Error::into);
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with(PROTOBUF) {
        return Ok(Response::from_parts(head, body.boxed_unsync()));
    }
    let is_watch = content_type.split(';').any(|parameter| parameter.trim() == "stream=watch");
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    head.headers.remove(CONTENT_LENGTH);
    if is_watch {
        let body = StreamBody::new(lines(body).map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync();
        return Ok(Response::from_parts(head, body));
    }
    let body = body.collect().await?.to_bytes();
    let json = match object_or_list(body.clone()) {
        Ok(json) => json.into(),
        // Whatever it says, what was refused is told by the status of the answer.
        Err(_) if !head.status.is_success() => body,
        Err(error) => return Err(error.into()),
    };
    Ok(Response::from_parts(head, Full::new(json).map_err(BoxError::from).boxed_unsync()))
}

/// The events of a watch, each in a line.
fn lines(
    body: impl hyper::body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let events = LengthDelimitedCodec::builder().max_frame_length(MAX_OBJECT).new_codec();
    let bytes = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    FramedRead::new(bytes, events).map_ok(|event| format!("{}\n", line(event.freeze())).into())
}

/// An event in JSON. One that cannot be read is a text that says why, which the watcher tells of as an error; it reads on.
fn line(event: Bytes) -> String {
    event_to_json(event).unwrap_or_else(|error| Value::from(telemetry::chain(&error)).to_string())
}

/// An event as JSON has it. Its type comes first: kube would have to store an object whose type it does not know yet.
#[derive(Serialize)]
struct Event<'a> {
    r#type: Cow<'a, str>,
    object: Single,
}

/// What is no list.
#[derive(Serialize)]
#[serde(untagged)]
enum Single {
    Object(Workload),
    Bookmark(Typed<Bookmark>),
    Status(Typed<Status>),
}

/// A list as JSON has it.
#[derive(Serialize)]
struct Workloads {
    metadata: ListMeta,
    items: Vec<Workload>,
}

/// With what it says of itself.
#[derive(Serialize)]
struct Typed<T> {
    #[serde(flatten)]
    types: TypeMeta,
    #[serde(flatten)]
    fields: T,
}

fn event_to_json(event: Bytes) -> Result<String, Malformed> {
    let event = WatchEvent::decode(event)?;
    let (types, raw) = unpacked(event.object.unwrap_or_default().raw)?;
    let object = match &*event.r#type {
        b"BOOKMARK" => Single::Bookmark(Typed { types, fields: Bookmark::decode(raw)? }),
        _ => single(types, raw)?,
    };
    Ok(serde_json::to_string(&Event { r#type: String::from_utf8_lossy(&event.r#type), object })?)
}

/// Leaves out of a list what cannot be read.
fn object_or_list(body: Bytes) -> Result<String, Malformed> {
    let (types, raw) = unpacked(body)?;
    let Some(kind) = types.item_kind() else { return Ok(serde_json::to_string(&single(types, raw)?)?) };
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

fn single(types: TypeMeta, raw: Bytes) -> Result<Single, Malformed> {
    Ok(match &*types.kind {
        b"Status" => Single::Status(Typed { fields: Status::decode(raw)?, types }),
        kind => Single::Object(Object::decode(raw)?.of_kind(kind)?),
    })
}

/// What an object is, and its own message.
fn unpacked(wrapped: Bytes) -> Result<(TypeMeta, Bytes), Malformed> {
    if !wrapped.starts_with(MAGIC) {
        return Err(Malformed::Magic);
    }
    let Unknown { type_meta, raw } = Unknown::decode(wrapped.slice(MAGIC.len()..))?;
    Ok((type_meta.unwrap_or_default(), raw))
}
