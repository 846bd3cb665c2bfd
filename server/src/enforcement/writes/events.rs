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
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::enforcement::fixtures::{Managed, at, replica_count, target};

    #[test]
    fn attempts_are_one_event_for_each_actor_and_count() {
        let now = Now::read();
        let mut announced = Announced::new(now);
        for (name, actor, held, expected) in [
            ("the first", "alice (kubectl)", 3, 1),
            ("again", "alice (kubectl)", 3, 2),
            ("another actor", "bob", 3, 1),
            ("another count", "alice (kubectl)", 4, 1),
        ] {
            let events = PendingEvents { guarded: Some((actor.to_owned(), held)), ..PendingEvents::default() };
            let [write] = event_writes(events, &mut announced, now).try_into().unwrap();
            assert_eq!((write.reason, write.type_, write.series.count), ("Guarded", "Warning", expected), "{name}");
            assert_eq!(write.note, format!("{actor} tried to change the replica count; it stays {held}"), "{name}");
        }
    }

    /// Held at 3 since alice set it, and at another count before that.
    fn held(original: i32) -> Managed {
        let spec = json!({"replicas": 3, "originalReplicas": original});
        let mut managed = Managed::with(replica_count(1, 1, spec, Value::Null));
        managed.see(0, target(10, 3));
        managed
    }

    fn end_note(managed: &Managed) -> String {
        end_event(&managed.observation, &managed.memory, managed.now(9)).note
    }

    #[test]
    fn only_a_count_that_the_server_has_put_back_is_called_so() {
        for (name, correcting, is_unset, stored, end) in [
            ("deleted by somebody else", None, false, 2, "left at 2"),
            ("deleted while a count is written", Some(Started::Scale(2)), false, 2, "left at 2"),
            ("being deleted by the server", Some(Started::Unset), false, 2, "put back to 2 for carol"),
            ("deleted by the server", None, true, 2, "put back to 2 for carol"),
            ("deleted by the server, and another count is in place", None, true, 5, "left at 5"),
        ] {
            let mut managed = held(2);
            managed.restore(1, "carol");
            managed.see(2, target(11, stored));
            (managed.memory.correcting, managed.memory.is_unset) = (correcting, is_unset);
            let note = end_note(&managed);
            assert!(note.ends_with(&format!(": {end}")), "{name}: {note}");
        }
    }

    #[test]
    fn a_count_is_put_back_for_the_user_who_asked_for_it_whomever_the_annotation_names() {
        for (name, reviews, by) in [
            ("a call of carol", &[""][..], "carol"),
            ("no review", &[], "carol"),
            ("an editor who names carol", &["mallory"], "mallory"),
            ("one of two editors who name carol", &["mallory", "bob"], "unknown"),
            ("a call of carol, and an editor whose write was refused", &["mallory", ""], "carol"),
        ] {
            for (original, held_at) in [(2, "another count"), (3, "the same count")] {
                let mut managed = held(original);
                managed.restore_with_reviews(1, "carol", reviews);
                managed.see(2, target(11, original));
                // A write of the status is not reviewed.
                Arc::make_mut(&mut managed.observation.count).resource_version += 1;
                managed.decide(3);
                managed.memory.is_unset = true;
                let note = end_note(&managed);
                assert!(note.ends_with(&format!(": put back to {original} for {by}")), "{name}, {held_at}: {note}");
            }
        }
    }

    #[test]
    fn a_count_was_set_by_whom_the_history_names() {
        let over = || json!({"replicas": 9, "until": at(100).to_string()});
        struct Row {
            name: &'static str,
            then: fn(&mut Managed, Value),
            expected: &'static str,
        }
        for row in [
            Row { name: "as it was", then: |_, _| {}, expected: "3 (set by alice)" },
            Row {
                name: "by an editor",
                then: |managed, _| drop(managed.set_reviewed(1, json!({"replicas": 4}), "bob")),
                expected: "4 (set by bob)",
            },
            Row {
                name: "without a review",
                then: |managed, _| drop(managed.set(1, json!({"replicas": 4}))),
                expected: "4 (set by alice)",
            },
            Row {
                name: "an override by an editor",
                then: |managed, over| {
                    managed.set_reviewed(1, json!({"replicas": 3, "override": over}), "bob");
                },
                expected: "9 (set by bob)",
            },
            Row {
                name: "after an override",
                then: |managed, over| {
                    managed.set_reviewed(1, json!({"replicas": 3, "override": over}), "bob");
                    managed.decide(100);
                },
                expected: "3 (set by alice)",
            },
            Row {
                name: "changes that were not seen one by one",
                then: |managed, _| {
                    managed.observation.count = replica_count(5, 4, json!({"replicas": 4}), json!({}));
                    managed.decide(1);
                },
                expected: "4 (set by alice)",
            },
        ] {
            let mut managed = held(2);
            (row.then)(&mut managed, over());
            let begin = format!("the replica count is no longer held at {}: ", row.expected);
            let note = end_note(&managed);
            assert!(note.starts_with(&begin), "{}: {note}", row.name);
        }
    }

    #[test]
    fn an_object_that_waits_for_a_finalizer_held_what_it_held_before() {
        for (name, [before, deleted, gone], has_history, expected) in [
            ("under an override", [1, 2, 3], true, "9 (set by bob)"),
            ("under one that ends while it waits", [1, 2, 200], true, "9 (set by bob)"),
            ("after one, and the clock is set back", [100, 40, 41], true, "3 (set by alice)"),
            ("under one that no history has", [1, 2, 3], false, "9"),
            ("after one that no history has", [100, 101, 102], false, "3 (set by alice)"),
        ] {
            let mut managed = held(2);
            let over = json!({"replicas": 9, "until": at(100).to_string()});
            managed.set_reviewed(1, json!({"replicas": 3, "override": over}), "bob");
            managed.decide(before);
            if !has_history {
                managed.memory.history = History::of(&Arc::default());
            }
            let count = Arc::make_mut(&mut managed.observation.count);
            (count.deleting, count.generation) = (true, count.generation.map(|generation| generation + 1));
            managed.decide(deleted);
            managed.decide(gone);
            let begin = format!("the replica count is no longer held at {expected}: ");
            let note = end_note(&managed);
            assert!(note.starts_with(&begin), "{name}: {note}");
        }
    }

    #[test]
    fn names_and_actions_keep_to_their_limits() {
        let key = |name: &str| TargetKey::new("shop", "", "", name).unwrap();
        assert_eq!(name(&key("web"), 0x1234), "web.1234");
        let long = name(&key(&format!("{}-xxx", "a".repeat(235))), 0x1234_5678_9abc_def0);
        assert_eq!((long.len(), long.ends_with(".123456789abcdef0")), (MAX_NAME, true), "{long}");
        let other = name(&key(&format!("{}-yyy", "a".repeat(235))), 0x1234_5678_9abc_def0);
        assert_ne!(long, other, "they begin alike");
        let (_, action, note) = put_back(&"é".repeat(128), 3);
        assert!(action.len() <= MAX_ACTION && action.starts_with("PutBackTo3 é"), "{action}");
        assert!(note.ends_with("put back to 3"));
    }
}
