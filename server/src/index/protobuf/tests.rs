use kube::core::WatchEvent;
use prost::Message;
use serde_json::{Value, json};

use super::{
    envelope::{self, Bookmark, BookmarkMeta, List, ListMeta, RawExtension, Status, TypeMeta, Unknown},
    json::{MAGIC, event_to_json},
    malformed::Malformed,
    metadata::{Entry, FieldsV1, ManagedFieldsEntry, ObjectMeta, OwnerReference, Time},
    workload::{DeploymentStatus, Object, Spec},
    *,
};
use crate::resources::{Operation, Target};

pub(super) fn wrapped(kind: &str, message: &impl Message) -> Bytes {
    let type_meta = Some(TypeMeta { api_version: "apps/v1".into(), kind: kind.to_owned().into() });
    let unknown = Unknown { type_meta, raw: message.encode_to_vec().into() };
    [MAGIC, &unknown.encode_to_vec()].concat().into()
}

pub(super) fn event(r#type: &str, raw: Bytes) -> Bytes {
    let event = envelope::WatchEvent { r#type: r#type.to_owned().into(), object: Some(RawExtension { raw }) };
    event.encode_to_vec().into()
}

pub(super) fn deployment() -> Object {
    let time = || Some(Time { seconds: Some(1_767_225_600) });
    let fields = FieldsV1 { raw: r#"{"f:spec":{"f:replicas":{},"f:template":{}}}"#.into() };
    let entry = ManagedFieldsEntry {
        manager: "kubectl".into(),
        operation: "Apply".into(),
        time: time(),
        fields_v1: Some(fields),
        subresource: Bytes::new(),
    };
    let owner =
        OwnerReference { kind: "App".into(), name: "web".into(), controller: true, ..OwnerReference::default() };
    let metadata = ObjectMeta {
        name: "web".into(),
        namespace: "shop".into(),
        uid: "00000000-0000-0000-0000-000000000001".into(),
        resource_version: "7".into(),
        deletion_timestamp: time(),
        labels: vec![Entry { key: "app".into(), value: "web".into() }],
        owner_references: vec![owner],
        managed_fields: vec![entry],
    };
    Object {
        metadata: Some(metadata),
        spec: Some(Spec { replicas: Some(3) }),
        status: DeploymentStatus { ready_replicas: 2 }.encode_to_vec().into(),
    }
}

/// An answer of the API server, in pieces.
fn answer(
    status: u16,
    content_type: &str,
    body: &[u8],
) -> Response<impl hyper::body::Body<Data = Bytes, Error = BoxError> + use<>> {
    let pieces: Vec<_> = body.chunks(7).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    let answer = Response::builder().status(status).header(CONTENT_TYPE, content_type);
    answer.header(CONTENT_LENGTH, body.len()).body(StreamBody::new(futures::stream::iter(pieces))).unwrap()
}

/// The answer as the watcher reads it.
async fn read(status: u16, content_type: &str, body: &[u8]) -> Result<String, BoxError> {
    let answer = to_json(answer(status, content_type, body)).await?;
    assert_eq!(answer.status(), status);
    Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec()).unwrap())
}

/// The body of a watch.
fn framed(events: &[Bytes]) -> Vec<u8> {
    let frames = events.iter().map(|event| [&u32::try_from(event.len()).unwrap().to_be_bytes(), &**event].concat());
    frames.collect::<Vec<_>>().concat()
}

#[test]
fn the_json_holds_all_that_the_index_stores() {
    let json = object_or_list_to_json(wrapped("Deployment", &deployment())).unwrap();
    let Target { metadata, state } = serde_json::from_str(&json).unwrap();
    assert_eq!((metadata.name.as_deref(), metadata.namespace.as_deref()), (Some("web"), Some("shop")));
    assert_eq!((state.replicas, state.ready, state.resource_version), (Some(3), Some(2), 7));
    assert_eq!(state.uid.to_string(), "00000000-0000-0000-0000-000000000001");
    let (controller, label) = (state.controller.as_deref(), state.labels.get("app"));
    assert_eq!((state.deleting, controller, label), (true, Some("App web"), Some("web")));
    let owner = state.owners.last().unwrap();
    assert_eq!((&*owner.manager, owner.operation, owner.time), ("kubectl", Operation::Apply, Some(1_767_225_600)));
}

#[test]
fn a_list_has_its_next_page_and_leaves_out_unreadable_items() {
    let metadata = Some(ListMeta { resource_version: "9".into(), r#continue: "next".into() });
    let items = vec![Bytes::from_static(b"\xff"), deployment().encode_to_vec().into()];
    let json = object_or_list_to_json(wrapped("DeploymentList", &List { metadata, items })).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["metadata"], json!({"resourceVersion": "9", "continue": "next"}));
    assert_eq!((&json["kind"], json["items"].as_array().map(Vec::len)), (&json!("DeploymentList"), Some(1)));
    assert_eq!(json["items"][0]["status"], json!({"readyReplicas": 2}));
}

#[test]
fn invalid_text_and_time_read_as_in_json() {
    let mut object = deployment();
    let metadata = object.metadata.as_mut().unwrap();
    metadata.owner_references[0].name = Bytes::from_static(b"w\xffb");
    metadata.managed_fields[0].time = Some(Time { seconds: None });
    let json = object_or_list_to_json(wrapped("Deployment", &object)).unwrap();
    let Target { state, .. } = serde_json::from_str(&json).unwrap();
    assert_eq!(state.controller.as_deref(), Some("App w\u{fffd}b"));
    assert_eq!(state.owners.last().unwrap().time, None);
}

#[test]
fn the_watcher_reads_bookmarks_and_errors() {
    let annotations = vec![Entry { key: "k8s.io/initial-events-end".into(), value: "true".into() }];
    let metadata = Some(BookmarkMeta { resource_version: "9".into(), annotations });
    let bookmark = event_to_json(event("BOOKMARK", wrapped("Deployment", &Bookmark { metadata }))).unwrap();
    let WatchEvent::<Target>::Bookmark(bookmark) = serde_json::from_str(&bookmark).unwrap() else {
        panic!("it is not a bookmark")
    };
    assert_eq!((&*bookmark.types.kind, &*bookmark.metadata.resource_version), ("Deployment", "9"));
    assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");

    let gone = Status { status: "Failure".into(), message: "too old".into(), reason: "Expired".into(), code: 410 };
    let gone = event_to_json(event("ERROR", wrapped("Status", &gone))).unwrap();
    let WatchEvent::<Target>::Error(gone) = serde_json::from_str(&gone).unwrap() else { panic!("it is not an error") };
    assert_eq!((gone.code, &*gone.reason, &*gone.message), (410, "Expired", "too old"));
}

#[test]
fn other_bytes_than_the_api_servers_protobuf_are_refused() {
    for body in [&b""[..], b"k8s", b"{}", b"k8s\0\xff", b"k8s\0\x12\x02\x0a\xff"] {
        assert!(object_or_list_to_json(Bytes::from_static(body)).is_err(), "{body:?}");
    }
    assert!(matches!(object_or_list_to_json(wrapped("Pod", &deployment())), Err(Malformed::Kind)));
}

#[tokio::test]
async fn a_watch_reads_on_after_an_event_that_cannot_be_read() {
    let good = event("ADDED", wrapped("Deployment", &deployment()));
    let body = framed(&[good.clone(), Bytes::from_static(b"\xff"), good]);
    for content_type in
        ["application/vnd.kubernetes.protobuf;stream=watch", "application/vnd.kubernetes.protobuf; stream=watch"]
    {
        let lines = read(200, content_type, &body).await.unwrap();
        let lines: Vec<_> = lines.lines().map(serde_json::from_str::<WatchEvent<Target>>).collect();
        assert!(matches!(&lines[..], [Ok(WatchEvent::Added(_)), Err(_), Ok(WatchEvent::Added(_))]), "{lines:?}");
    }
    assert!(read(200, "application/vnd.kubernetes.protobuf;stream=watch", &body[..body.len() - 1]).await.is_err());
}

#[tokio::test]
async fn an_answer_in_another_format_is_not_changed() {
    assert_eq!(read(429, "application/json", b"{}").await.unwrap(), "{}");
    assert_eq!(read(403, "text/plain; charset=utf-8", b"no").await.unwrap(), "no");
    assert_eq!(read(503, PROTOBUF, b"not ready").await.unwrap(), "not ready");
    assert!(read(200, PROTOBUF, b"not ready").await.is_err());
    let answer = to_json(answer(200, PROTOBUF, &wrapped("Deployment", &deployment()))).await.unwrap();
    assert_eq!(answer.headers().get(CONTENT_LENGTH), None);
    assert_eq!(answer.headers()[CONTENT_TYPE], JSON);
}
