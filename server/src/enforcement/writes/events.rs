//! The Events of a target, by which `kubectl describe` shows what happened to its count.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

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
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::timeout;
use tracing::debug;

use super::super::{
    announced::{Announced, Series},
    assessment::effective_count,
    changes::{lasting_setter, override_setter, was_overridden},
    decision::PendingEvents,
    history::History,
    memory::{Memory, Started},
    observation::{Now, Observation},
};
use crate::{
    resources::{
        FIELD_MANAGER, Lenient, Override, Repair, ReplicaCount, ReplicaCountState, TargetKey, beginning,
        conditions::{CONTESTED, reasons},
    },
    runtime::client::post_params,
    telemetry,
};

/// How long the writes of one target's Events may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest action of an Event, in bytes (events.k8s.io/v1).
const MAX_ACTION: usize = 128;

/// The longest note of an Event, in bytes (events.k8s.io/v1).
const MAX_NOTE: usize = 1024;

/// The longest name of an object, in bytes (RFC 1123 subdomain).
const MAX_NAME: usize = 253;

/// What Events are about: a target and its `ReplicaCount`.
#[derive(Clone, Debug, PartialEq)]
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

/// An Event to write.
#[derive(Debug, PartialEq)]
pub struct EventWrite {
    reason: &'static str,
    action: String,
    note: String,
    /// `Normal` or `Warning`.
    type_: &'static str,
    series: Series,
}

/// The pending Events that may be written now. Each of the others only raises the count of its series.
pub fn event_writes(events: PendingEvents, announced: &mut Announced, now: Now) -> Vec<EventWrite> {
    let put_back = events.put_back.map(|(actor, to)| put_back(&actor, to));
    let contested = events.contested.map(|one| (one.reason, CONTESTED.to_owned(), one.message));
    let changed = events.changed_count.map(|changed| {
        let action = format!("SetTo{}", changed.sent);
        (reasons::COUNT_CHANGED_BY_ADMISSION, action, changed.message())
    });
    let guarded = events.guarded.map(|(actor, held)| guarded(&actor, held));
    let events = put_back.into_iter().chain(contested).chain(changed).chain(guarded);
    let write = |(reason, action, note): (&'static str, String, String)| {
        let series = announced.add((reason, &action), now)?;
        Some(EventWrite { reason, action, note, type_: "Warning", series })
    };
    events.filter_map(write).collect()
}

/// The Event about the end of a target's management: the count that was held, who set it, and whether it was restored.
/// The history goes with the object, so the Event names whom the history names, and not whom annotations name.
pub fn end_event(observation: &Observation, memory: &Memory, now: Now) -> EventWrite {
    let (count, history, lasting) = (&observation.count, &memory.history, observation.count.spec.replicas);
    // Somebody else may have deleted the object before the count was put back.
    let is_done = memory.is_unset || memory.correcting == Some(Started::Unset);
    let restorer = memory.restorer.as_deref().filter(|_| is_done);
    let (held, set_by) = match (restorer, &count.spec.override_) {
        (Some(_), _) => held_before_restore(count, history),
        (None, Some(over)) if over.then_unset || was_in_force(over, observation, memory) => {
            let set_by = override_setter(history, over.replicas).unwrap_or(&count.writers.override_.replicas);
            (Some(over.replicas), set_by)
        }
        _ => (Some(lasting), lasting_setter(history, lasting).unwrap_or(&count.writers.replicas)),
    };
    let held = held.map(|held| format!(" at {held}")).unwrap_or_default();
    let set_by = if set_by.is_empty() { String::new() } else { format!(" (set by {set_by})") };
    let observed = observation.target.as_ref().and_then(|target| effective_count(target, memory.last_correction));
    let now_at = observed.map_or_else(|| "as it is".to_owned(), |count| count.to_string());
    // Admission or another program may have kept the count from before out.
    let end = match restorer.filter(|_| observed == Some(lasting)) {
        Some(restorer) => format!("put back to {now_at} for {}", restorer.by),
        None => format!("left at {now_at}"),
    };
    let note = format!("the replica count is no longer held{held}{set_by}: {end}");
    let series = Series::first(now);
    EventWrite { reason: reasons::UNMANAGED, action: "Unset".to_owned(), note, type_: "Normal", series }
}

/// Whether the override was in force until the management ended. An object that waits for a finalizer desires no count,
/// so the history says whether its override had ended before. An older server may have recorded nothing of it.
fn was_in_force(over: &Override, observation: &Observation, memory: &Memory) -> bool {
    match memory.desired {
        Some(desired) => desired == over.replicas,
        None => was_overridden(&memory.history, over.replicas).unwrap_or(over.until.0 > observation.at),
    }
}

/// The count that was held before the one from before became the lasting one, and who set it. The change to that one is
/// later than the call that asked for it.
fn held_before_restore<'a>(count: &ReplicaCountState, history: &'a History) -> (Option<i32>, &'a str) {
    let asked = count.set_at.unwrap_or(Timestamp::MAX);
    let restored = history.latest_change().filter(|change| change.at.0 >= asked);
    let held = restored.map_or(Some(count.spec.replicas), |change| change.from);
    let set = held.and_then(|held| history.latest_change_to(held, asked));
    (held, set.map(|change| &*change.by).unwrap_or_default())
}

/// One Event for each actor and desired count. Later ones only raise the count of the first, so its note leaves out
/// what differs between them, such as the count that the actor wrote.
fn put_back(actor: &str, to: i32) -> (&'static str, String, String) {
    let action = format!("PutBackTo{to} {actor}");
    let note = format!("{actor} changed the replica count; put back to {to}");
    (reasons::REPLICAS_PUT_BACK, beginning(&action, MAX_ACTION).to_owned(), note)
}

/// One Event for each actor and count that is held, as for a drift. The status has the count that the actor wanted.
fn guarded(actor: &str, held: i32) -> (&'static str, String, String) {
    let action = format!("KeepAt{held} {actor}");
    let note = format!("{actor} tried to change the replica count; it stays {held}");
    (reasons::GUARDED, beginning(&action, MAX_ACTION).to_owned(), note)
}

impl Repair for Event {}

/// Writes Events.
#[derive(Clone)]
pub struct Announcer {
    client: Client,
}

impl Announcer {
    /// Writes with the account of a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Writes Events. Returns whether all could be written. An Event that cannot be written is not tried again: the
    /// status of the `ReplicaCount` holds the same facts.
    pub async fn announce(&self, key: &TargetKey, regarding: &Regarding, events: Vec<EventWrite>) -> bool {
        let write = async {
            for event in events {
                self.write(key, regarding, event).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(TIMEOUT, write).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                debug!(target = %key, error = telemetry::chain(&error), "event not written");
                false
            }
            Err(_) => {
                debug!(target = %key, "events not written within {TIMEOUT:?}");
                false
            }
        }
    }

    async fn write(&self, key: &TargetKey, regarding: &Regarding, write: EventWrite) -> Result<(), kube::Error> {
        let events: Api<Lenient<Event>> = Api::namespaced(self.client.clone(), &key.namespace);
        let (name, now) = (name(key, write.series.began), MicroTime(Timestamp::now()));
        if write.series.count > 1 {
            let series = EventSeries { count: write.series.count, last_observed_time: now.clone() };
            let patch = Patch::Merge(json!({"series": series}));
            match events.patch(&name, &PatchParams::apply(FIELD_MANAGER), &patch).await {
                // Events expire, and the first one may not have been written.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                answer => return answer.map(drop),
            }
        }
        let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        let event = Event {
            metadata,
            action: Some(write.action),
            reason: Some(write.reason.to_owned()),
            note: Some(beginning(&write.note, MAX_NOTE).to_owned()),
            type_: Some(write.type_.to_owned()),
            event_time: Some(now),
            regarding: Some(regarding.target.clone()),
            related: Some(regarding.count.clone()),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(FIELD_MANAGER.to_owned()),
            ..Event::default()
        };
        events.create(&post_params(), &event.into()).await.map(drop)
    }
}

/// The name of an Event: the target's and the time. Of a longer name a part remains, with a hash of the whole, so that
/// targets whose names begin alike have different Events.
fn name(key: &TargetKey, began: i128) -> String {
    let suffix = format!(".{began:x}");
    if key.name.len() + suffix.len() <= MAX_NAME {
        return format!("{}{suffix}", key.name);
    }
    let mut hasher = DefaultHasher::new();
    key.name.hash(&mut hasher);
    let suffix = format!("-{:016x}{suffix}", hasher.finish());
    let prefix = key.name.get(..MAX_NAME.saturating_sub(suffix.len())).unwrap_or_default();
    format!("{}{suffix}", prefix.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests;
