//! The Events of `ReplicaCount` objects that cannot be read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, api::PostParams};
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

/// Hands over the Events that are to be written, without waiting.
pub(in super::super) struct UnreadableEvents(mpsc::Sender<Event>);

impl UnreadableEvents {
    /// The sender, and the work that writes the Events for as long as it is polled.
    pub(in super::super) fn new(client: Client) -> (Self, impl Future<Output = ()>) {
        let (sender, mut receiver) = mpsc::channel::<Event>(MAX_WAITING);
        let write = async move {
            while let Some(event) = receiver.recv().await {
                write(&client, event).await;
            }
        };
        (Self(sender), write)
    }

    /// Announces that a `ReplicaCount` cannot be read.
    pub(in super::super) fn announce(&self, count: &Unreadable) {
        if let Err(TrySendError::Full(event)) = self.0.try_send(event(count)) {
            debug!(name = event.metadata.name, "too many Events wait, this one is not written");
        }
    }
}

/// Writes an Event. One that cannot be written is lost, because the log says the same.
async fn write(client: &Client, event: Event) {
    let events: Api<Event> = Api::namespaced(client.clone(), event.metadata.namespace.as_deref().unwrap_or_default());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match timeout(TIMEOUT, events.create(&params, &event)).await {
        Ok(Ok(_)) => {}
        // Another replica was faster.
        Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {}
        Ok(Err(error)) => debug!(error = telemetry::chain(&error), "event not written"),
        Err(_) => debug!("event not written within {TIMEOUT:?}"),
    }
}

/// The Event. All replicas choose the same name for it, so only one of them writes it.
fn event(count: &Unreadable) -> Event {
    let ObjectMeta { name, namespace, uid, resource_version, .. } = (*count.metadata).clone();
    let end = format!(".unreadable.{}", resource_version.as_deref().unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name_that_follows_from_the_object() {
        for (name, expected) in [
            ("deployment.web", "deployment.web.unreadable.7".to_owned()),
            (&"x".repeat(253), format!("{}.unreadable.7", "x".repeat(MAX_NAME - 13))),
        ] {
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            };
            let reason = "x".repeat(5000);
            let count = Unreadable { metadata: metadata.into(), scale_target_ref: Default::default(), reason };
            let event = event(&count);
            assert_eq!((event.metadata.name, event.reason.as_deref()), (Some(expected), Some("Unreadable")));
            assert!(event.note.is_some_and(|note| note.len() <= 1024));
        }
    }
}
