//! The Events of a target, by which `kubectl describe` shows what happened to its count.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::time::timeout;
use tracing::debug;

use super::super::{decision::PendingEvents, observation::Observation};
use crate::{
    resources::{
        FIELD_MANAGER, ReplicaCount, ReplicaCountState, TargetKey,
        conditions::{CONTESTED, reasons},
    },
    telemetry,
};

/// How long the writes of one target's Events may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest action of an Event, in bytes (events.k8s.io/v1).
const MAX_ACTION: usize = 128;

/// What Events are about: a target and its `ReplicaCount`.
#[derive(Clone, Debug)]
pub struct Regarding {
    target: ObjectReference,
    count: ObjectReference,
}

impl Regarding {
    /// The target of an observation.
    pub fn of(key: &TargetKey, observation: &Observation) -> Self {
        let Observation { count, target, .. } = observation;
        let api_version = &count.spec.scale_target_ref.api_version;
        Self {
            target: ObjectReference {
                uid: target.as_ref().map(|target| target.uid.to_string()),
                ..reference(api_version, &key.kind.kind, &key.namespace, &key.name)
            },
            count: replica_count(key, count),
        }
    }
}

fn replica_count(key: &TargetKey, count: &Arc<ReplicaCountState>) -> ObjectReference {
    let (version, kind) = (ReplicaCount::api_version(&()), ReplicaCount::kind(&()));
    ObjectReference {
        uid: Some(count.uid.to_string()),
        ..reference(&version, &kind, &key.namespace, &key.replica_count_name())
    }
}

/// A reference to an object without its UID.
fn reference(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// Writes Events.
#[derive(Clone)]
pub struct Announcer {
    recorder: Recorder,
}

impl Announcer {
    /// Writes with the account of a client.
    pub fn new(client: Client) -> Self {
        Self { recorder: Recorder::new(client, Reporter::from(FIELD_MANAGER)) }
    }

    /// Writes Events. One that cannot be written is lost: the status shows the same.
    pub async fn announce(&self, key: &TargetKey, regarding: &Regarding, events: PendingEvents) {
        let write = async {
            if let Some((actor, to)) = &events.put_back {
                self.publish(key, regarding, put_back(actor, *to)).await;
            }
            if let Some(contested) = events.contested {
                self.publish(key, regarding, event(contested.reason, CONTESTED.to_owned(), contested.message)).await;
            }
        };
        if timeout(TIMEOUT, write).await.is_err() {
            debug!(target = %key, "events not written within {TIMEOUT:?}");
        }
    }

    async fn publish(&self, key: &TargetKey, regarding: &Regarding, event: Event) {
        let event = Event { secondary: Some(regarding.count.clone()), ..event };
        if let Err(error) = self.recorder.publish(&event, &regarding.target).await {
            debug!(target = %key, error = telemetry::chain(&error), "event not written");
        }
    }
}

/// One Event for each actor and desired count. The recorder counts further ones of the same action on the first, so its
/// note names nothing that differs between them, such as the count that the actor wrote.
fn put_back(actor: &str, to: i32) -> Event {
    let action = format!("PutBackTo{to} {actor}").chars().take(MAX_ACTION).collect();
    event(reasons::REPLICAS_PUT_BACK, action, format!("{actor} changed the replica count; put back to {to}"))
}

fn event(reason: &str, action: String, note: String) -> Event {
    Event { type_: EventType::Warning, reason: reason.to_owned(), action, note: Some(note), secondary: None }
}
