//! The Events of `ReplicaCount` objects that cannot be read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use ring::digest::{SHA256, digest};
use serde_json::json;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};
use tracing::debug;

use crate::{
    resources::{FIELD_MANAGER, ReplicaCount, Unreadable, reasons},
    telemetry,
};

/// How many Events can wait. Beyond it, an object has its line of the log and no Event.
const MAX_WAITING: usize = 64;

/// How long the write of one Event can take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest note, in characters. events.k8s.io/v1 takes 1,024 bytes.
const MAX_NOTE: usize = 250;

/// The longest name of an object, in bytes.
const MAX_NAME: usize = 253;

/// How many bytes of a hash are in a name.
const HASH_BYTES: usize = 8;

/// Hands over the Events that are to be written, without waiting.
pub(in super::super) struct UnreadableEvents(mpsc::Sender<Announcement>);

/// An Event to write.
struct Announcement {
    event: Event,
    /// How many versions of the object could not be read in a row.
    versions: u32,
}

impl UnreadableEvents {
    /// The sender, and the work that writes the Events for as long as it is polled.
    pub(in super::super) fn new(client: Client) -> (Self, impl Future<Output = ()>) {
        let (sender, mut receiver) = mpsc::channel::<Announcement>(MAX_WAITING);
        let write = async move {
            while let Some(announcement) = receiver.recv().await {
                let name = announcement.event.metadata.name.clone();
                match timeout(TIMEOUT, write(&client, announcement)).await {
                    Ok(Ok(())) => {}
                    // It is lost, because the log says the same.
                    Ok(Err(error)) => debug!(name, error = telemetry::chain(&error), "event not written"),
                    Err(_) => debug!(name, "event not written within {TIMEOUT:?}"),
                }
            }
        };
        (Self(sender), write)
    }

    /// Announces that so many versions of a `ReplicaCount` could not be read in a row.
    pub(in super::super) fn announce(&self, count: &Unreadable, versions: u32) {
        let announcement = Announcement { event: event(count), versions };
        if let Err(TrySendError::Full(Announcement { event, .. })) = self.0.try_send(announcement) {
            debug!(name = event.metadata.name, "too many Events wait, this one is not written");
        }
    }
}

/// Writes an Event, or counts up the one that is there.
async fn write(client: &Client, Announcement { event, versions }: Announcement) -> Result<(), kube::Error> {
    let ObjectMeta { name, namespace, .. } = event.metadata.clone();
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace.unwrap_or_default());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match events.create(&params, &event).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        answer => return answer.map(drop),
    }
    let Ok(count @ 2..) = i32::try_from(versions) else {
        // Another replica was faster.
        return Ok(());
    };
    let series = EventSeries { count, last_observed_time: MicroTime(Timestamp::now()) };
    let patch = Patch::Merge(json!({"series": series}));
    events.patch(&name.unwrap_or_default(), &PatchParams::apply(FIELD_MANAGER), &patch).await.map(drop)
}

/// The Event. All replicas choose the same name for it, so only one of them writes it. Its name follows from the UID of the
/// object and the reason, because the API server refuses changes of the note of an Event.
fn event(count: &Unreadable) -> Event {
    let ObjectMeta { name, namespace, uid, resource_version, .. } = (*count.metadata).clone();
    let end = format!(".unreadable.{}", hash(uid.as_deref().unwrap_or_default(), &count.reason));
    let begin: String = name.iter().flat_map(|name| name.chars()).take(MAX_NAME.saturating_sub(end.len())).collect();
    let note = format!("the server cannot read this ReplicaCount, so it does not enforce it: {}", count.reason);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}{end}", begin.trim_end_matches(['.', '-']))),
            namespace: namespace.clone(),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: Some(ReplicaCount::api_version(&()).into_owned()),
            kind: Some(ReplicaCount::kind(&()).into_owned()),
            name,
            namespace,
            uid,
            resource_version,
            ..ObjectReference::default()
        }),
        type_: Some("Warning".to_owned()),
        reason: Some(reasons::UNREADABLE.to_owned()),
        action: Some("Read".to_owned()),
        note: Some(note.chars().take(MAX_NOTE).collect()),
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(FIELD_MANAGER.to_owned()),
        ..Event::default()
    }
}

/// The hash of an object and a reason. During an upgrade, replicas of two versions agree on it, unlike on that of std.
fn hash(uid: &str, reason: &str) -> String {
    let hash = digest(&SHA256, format!("{uid}\n{reason}").as_bytes());
    hash.as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::{Request, Response};
    use kube::client::Body;
    use parking_lot::Mutex;

    use super::*;

    fn unreadable(name: &str, uid: &str, version: &str, reason: &str) -> Unreadable {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("shop".to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        Unreadable { metadata: metadata.into(), scale_target_ref: Default::default(), reason: reason.to_owned() }
    }

    #[test]
    fn an_event_has_a_name_that_follows_from_the_object_and_the_reason() {
        let name = |count: &Unreadable| event(count).metadata.name.unwrap();
        let first = name(&unreadable("deployment.web", "u", "7", "odd"));
        assert_eq!(first, "deployment.web.unreadable.26182bca86e6a914", "another version of the server has the same");
        for (difference, uid, version, reason, is_same) in [
            ("none", "u", "7", "odd", true),
            ("the version", "u", "8", "odd", true),
            ("the object", "v", "7", "odd", false),
            ("the reason", "u", "7", "even", false),
        ] {
            let other = name(&unreadable("deployment.web", uid, version, reason));
            assert_eq!(other == first, is_same, "{difference}");
        }
        let long = event(&unreadable(&"x".repeat(253), "u", "7", &"x".repeat(5000)));
        assert_eq!((long.metadata.name.unwrap().len(), long.reason.as_deref()), (MAX_NAME, Some("Unreadable")));
        assert!(long.note.is_some_and(|note| note.len() <= 1024));
    }

    #[tokio::test]
    async fn an_event_that_is_there_is_counted_up() {
        for (name, is_there, versions, expected) in [
            ("the first", false, 1, "POST"),
            ("expired in the meantime", false, 4, "POST"),
            ("written by another replica", true, 1, "POST"),
            ("a later version", true, 4, "POST PATCH"),
        ] {
            let requests = Arc::new(Mutex::new(Vec::new()));
            let seen = requests.clone();
            let answer = tower::service_fn(move |request: Request<Body>| {
                seen.lock().push(request.method().to_string());
                let (code, answer) = if is_there && request.method() == "POST" {
                    (409_u16, json!({"status": "Failure", "reason": "AlreadyExists", "message": "", "code": 409}))
                } else {
                    (201, json!({"metadata": {}, "eventTime": null}))
                };
                let body = Body::from(answer.to_string().into_bytes());
                async move { Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?) }
            });
            let event = event(&unreadable("deployment.web", "u", "7", "odd"));
            write(&Client::new(answer, "default"), Announcement { event, versions }).await.unwrap();
            assert_eq!(requests.lock().join(" "), expected, "{name}");
        }
    }
}
