//! Protobuf from the API server for kube's watcher, which reads only JSON.
//!
//! The API server writes protobuf several times faster than JSON: with 100,000 Deployments that is what a start waits
//! for. What is not kept of an object is skipped here, and the rest becomes JSON of a tenth of the size.

mod messages;

use std::io;

use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame},
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use kube::{Client, client::Body};
use prost::Message;
use serde_json::{Value, json};
use tokio_util::{
    codec::{FramedRead, LengthDelimitedCodec},
    io::StreamReader,
};
use tower::{BoxError, service_fn};

use self::messages::{Bookmark, List, Object, Status, TypeMeta, Unknown, WatchEvent};

/// What an API server is asked for that speaks it; any other answers in JSON.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf,application/json";

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: &str = "application/json";

/// What each object begins with, outside of lists.
const MAGIC: &[u8] = b"k8s\0";

/// The largest object that is read, in bytes: etcd stores none of a tenth of this size.
const MAX_OBJECT: usize = 16 * 1024 * 1024;

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("it does not begin as the API server's protobuf does")]
    Magic,
    #[error("a message is malformed")]
    Message(#[from] prost::DecodeError),
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
async fn to_json(answer: Response<Body>) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError> {
    let (mut head, body) = answer.into_parts();
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with(PROTOBUF) {
        return Ok(Response::from_parts(head, body.map_err(BoxError::from).boxed_unsync()));
    }
    let is_watch = content_type.ends_with(";stream=watch");
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    head.headers.remove(CONTENT_LENGTH);
    let body = if is_watch {
        StreamBody::new(lines(body).map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync()
    } else {
        let json = object_or_list(body.collect().await?.to_bytes())?.to_string();
        Full::from(json).map_err(BoxError::from).boxed_unsync()
    };
    Ok(Response::from_parts(head, body))
}

/// The events of a watch, each in a line.
fn lines(body: Body) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let events = LengthDelimitedCodec::builder().max_frame_length(MAX_OBJECT).new_codec();
    let bytes = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    FramedRead::new(bytes, events).map(|event| {
        let event =
            event_to_json(event?.freeze()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(format!("{event}\n").into())
    })
}

fn event_to_json(event: Bytes) -> Result<Value, Malformed> {
    let event = WatchEvent::decode(event)?;
    let (types, raw) = unwrap(event.object.unwrap_or_default().raw)?;
    let object = match &*event.r#type {
        "BOOKMARK" => Bookmark::decode(raw)?.to_json(&types),
        _ => object_to_json(&types, raw)?,
    };
    Ok(json!({"type": event.r#type, "object": object}))
}

fn object_or_list(body: Bytes) -> Result<Value, Malformed> {
    let (types, raw) = unwrap(body)?;
    let Some(kind) = types.kind.strip_suffix("List") else { return object_to_json(&types, raw) };
    let list = List::decode(raw)?;
    let metadata = list.metadata.unwrap_or_default();
    let items = list.items.iter().map(|object| object.to_json(kind)).collect::<Result<Value, _>>()?;
    Ok(json!({
        "apiVersion": types.api_version, "kind": types.kind,
        "metadata": {"resourceVersion": metadata.resource_version, "continue": metadata.r#continue},
        "items": items,
    }))
}

fn object_to_json(types: &TypeMeta, raw: Bytes) -> Result<Value, Malformed> {
    match &*types.kind {
        "Status" => Ok(Status::decode(raw)?.to_json()),
        kind => Ok(Object::decode(raw)?.to_json(kind)?),
    }
}

/// What an object is, and its own message.
fn unwrap(wrapped: Bytes) -> Result<(TypeMeta, Bytes), Malformed> {
    if !wrapped.starts_with(MAGIC) {
        return Err(Malformed::Magic);
    }
    let Unknown { type_meta, raw } = Unknown::decode(wrapped.slice(MAGIC.len()..))?;
    Ok((type_meta.unwrap_or_default(), raw))
}

#[cfg(test)]
mod tests {
    use super::{
        messages::{
            DeploymentStatus, FieldsV1, ManagedFieldsEntry, ObjectMeta, OwnerReference, RawExtension, Spec, Time,
        },
        *,
    };
    use crate::api::{Operation, Target};

    fn wrapped(kind: &str, message: &impl Message) -> Bytes {
        let type_meta = Some(TypeMeta { api_version: "apps/v1".into(), kind: kind.into() });
        let unknown = Unknown { type_meta, raw: message.encode_to_vec().into() };
        [MAGIC, &unknown.encode_to_vec()].concat().into()
    }

    fn event(r#type: &str, raw: Bytes) -> Bytes {
        WatchEvent { r#type: r#type.into(), object: Some(RawExtension { raw }) }.encode_to_vec().into()
    }

    fn deployment() -> Object {
        let time = || Some(Time { seconds: 1_767_225_600 });
        let fields = FieldsV1 { raw: r#"{"f:spec":{"f:replicas":{},"f:template":{}}}"#.into() };
        let entry = ManagedFieldsEntry {
            manager: "kubectl".into(),
            operation: "Apply".into(),
            time: time(),
            fields_v1: Some(fields),
            subresource: String::new(),
        };
        let owner =
            OwnerReference { kind: "App".into(), name: "web".into(), controller: true, ..OwnerReference::default() };
        let metadata = ObjectMeta {
            name: "web".into(),
            namespace: "shop".into(),
            uid: "00000000-0000-0000-0000-000000000001".into(),
            resource_version: "7".into(),
            deletion_timestamp: time(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            owner_references: vec![owner],
            managed_fields: vec![entry],
        };
        Object {
            metadata: Some(metadata),
            spec: Some(Spec { replicas: Some(3) }),
            status: DeploymentStatus { ready_replicas: 2 }.encode_to_vec().into(),
        }
    }

    #[test]
    fn what_is_kept_of_an_object_is_in_its_json() {
        let json = object_or_list(wrapped("Deployment", &deployment())).unwrap();
        let Target { metadata, state } = serde_json::from_value(json).unwrap();
        assert_eq!((metadata.name.as_deref(), metadata.namespace.as_deref()), (Some("web"), Some("shop")));
        assert_eq!((state.replicas, state.ready, state.resource_version), (Some(3), Some(2), 7));
        assert_eq!(state.uid.to_string(), "00000000-0000-0000-0000-000000000001");
        assert_eq!(
            (state.deleting, state.controller.as_deref(), state.labels.get("app")),
            (true, Some("App web"), Some("web"))
        );
        let owner = state.owners.last().unwrap();
        assert_eq!((&*owner.manager, owner.operation, owner.time), ("kubectl", Operation::Apply, Some(1_767_225_600)));
    }

    #[test]
    fn a_list_says_where_it_goes_on() {
        let metadata = Some(messages::ListMeta { resource_version: "9".into(), r#continue: "next".into() });
        let json = object_or_list(wrapped("DeploymentList", &List { metadata, items: vec![deployment()] })).unwrap();
        assert_eq!(json["metadata"], json!({"resourceVersion": "9", "continue": "next"}));
        assert_eq!(
            (&json["kind"], &json["items"][0]["status"]),
            (&json!("DeploymentList"), &json!({"readyReplicas": 2}))
        );
    }

    #[test]
    fn bookmarks_and_refusals_are_those_of_the_watcher() {
        use kube::core::WatchEvent;
        let metadata = messages::BookmarkMeta {
            resource_version: "9".into(),
            annotations: [("k8s.io/initial-events-end".to_owned(), "true".to_owned())].into(),
        };
        let bookmark = event("BOOKMARK", wrapped("Deployment", &Bookmark { metadata: Some(metadata) }));
        let WatchEvent::<Target>::Bookmark(bookmark) =
            serde_json::from_value(event_to_json(bookmark).unwrap()).unwrap()
        else {
            panic!("it is no bookmark")
        };
        assert_eq!((&*bookmark.metadata.resource_version, bookmark.metadata.annotations.len()), ("9", 1));

        let gone = Status { status: "Failure".into(), message: "too old".into(), reason: "Expired".into(), code: 410 };
        let gone = event_to_json(event("ERROR", wrapped("Status", &gone))).unwrap();
        let WatchEvent::<Target>::Error(gone) = serde_json::from_value(gone).unwrap() else { panic!("it is no error") };
        assert_eq!((gone.code, &*gone.reason, &*gone.message), (410, "Expired", "too old"));
    }

    #[test]
    fn what_is_no_protobuf_of_the_api_server_is_refused() {
        for body in [&b""[..], b"k8s", b"{}", b"k8s\0\xff", b"k8s\0\x12\x02\x0a\xff"] {
            assert!(object_or_list(Bytes::from_static(body)).is_err(), "{body:?}");
        }
    }

    #[test]
    fn no_answer_makes_it_panic() {
        let seeds = [
            event("ADDED", wrapped("Deployment", &deployment())),
            event("MODIFIED", wrapped("StatefulSet", &deployment())),
            event("BOOKMARK", wrapped("Deployment", &Bookmark::default())),
            event("ERROR", wrapped("Status", &Status { code: 410, ..Status::default() })),
        ];
        fuzz::target("protobuf").seeds(seeds).words(["k8s\0", "Deployment", "Status"]).bytes(|input| {
            let Ok(json) = event_to_json(Bytes::copy_from_slice(input)) else { return false };
            let _ = serde_json::from_value::<kube::core::WatchEvent<Target>>(json);
            true
        });
    }
}
