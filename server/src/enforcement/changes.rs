//! The changes of a `ReplicaCount`'s spec: of the lasting count, of the override, and of their reasons. Each names who
//! wrote the field that changed.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{decision::Restorer, history::History, memory::Memory, observation::Observation};
use crate::{
    resources::{Change, ObservedSpec, Override, OverrideWriters, ReplicaCountSpec},
    reviews::ReviewedUser,
};

/// The fields that a change can be of.
mod fields {
    pub const REPLICAS: &str = "replicas";
    pub const OVERRIDE: &str = "override";
    pub const REASON: &str = "reason";
    /// Several of them, of changes that were not seen one by one.
    pub const SPEC: &str = "spec";
}

/// The author of a change that left no trace.
const UNKNOWN: &str = "unknown";

/// The author of several changes of which no server saw more than the last state.
const SEVERAL: &str = "several, unseen";

/// The changes since the last decision, also those that only time has made, the oldest first.
pub fn changes(observation: &Observation, memory: &Memory, desired: Option<i32>) -> Vec<Change> {
    let is_new = observation.count.generation != memory.generation || memory.generation.is_none();
    if is_new && are_several(observation, memory) {
        return vec![several(observation, memory, desired)];
    }
    let ended = ended(observation, memory, desired, is_new);
    if !is_new {
        return ended.into_iter().collect();
    }
    let spec = &observation.count.spec;
    let replicas = change_of_replicas(observation, memory);
    let over = change_of_override(observation, memory, replicas.is_some());
    let is_reason_new = memory.spec.as_ref().is_some_and(|before| before.reason != spec.reason);
    // The reason of a new count is in the line of the count.
    let reason = (is_reason_new && replicas.is_none()).then(|| {
        let by = Author { observation, memory }.of(&observation.count.writers.reason, &spec.reason);
        change(observation, fields::REASON, Some(spec.replicas), spec.replicas, by, &spec.reason)
    });
    [ended, replicas, over, reason].into_iter().flatten().collect()
}

/// Who asked for the count from before, while that is asked for. A review shows the user only with the first state that has
/// the request.
pub fn restorer(observation: &Observation, memory: &Memory) -> Option<Box<Restorer>> {
    let count = &observation.count;
    let request = count.restore.as_ref().filter(|_| count.restoring().is_some())?;
    let known = memory.restorer.as_ref().filter(|known| known.request == *request);
    let by = || Author { observation, memory }.of_written(&Arc::default());
    Some(known.cloned().unwrap_or_else(|| Box::new(Restorer { request: request.clone(), by: by() })))
}

/// Who set this lasting count, as the history recorded it.
pub fn lasting_setter(history: &History, count: i32) -> Option<&str> {
    setter(history, fields::REPLICAS, count)
}

/// Who set the override with this count, as the history recorded it.
pub fn override_setter(history: &History, count: i32) -> Option<&str> {
    setter(history, fields::OVERRIDE, count)
}

/// Whether the latest change of the override is one to this count. `None` if the history has none.
pub fn was_overridden(history: &History, count: i32) -> Option<bool> {
    Some(history.latest_change_in([fields::OVERRIDE, fields::SPEC])?.to == count)
}

/// The author of the latest change of a field, if that is one to this count. What the leader did not see by itself has no
/// author.
fn setter<'a>(history: &'a History, field: &str, count: i32) -> Option<&'a str> {
    let latest = history.latest_change_in([field, fields::SPEC])?;
    let is_seen = *latest.field == *field && *latest.by != *SEVERAL;
    (is_seen && latest.to == count).then_some(&*latest.by)
}

fn change(observation: &Observation, field: &str, from: Option<i32>, to: i32, by: Arc<str>, reason: &str) -> Change {
    Change { number: 0, field: field.into(), from, to, by, reason: reason.into(), at: MicroTime(observation.at) }
}

/// The previous lasting count. If the previous spec is unknown, because a server of an older version wrote the status,
/// only the desired count is known.
fn lasting_before(memory: &Memory) -> Option<i32> {
    memory.spec.as_ref().map(|before| before.replicas).or(memory.desired)
}

fn change_of_replicas(observation: &Observation, memory: &Memory) -> Option<Change> {
    let (spec, before) = (&observation.count.spec, lasting_before(memory));
    if before == Some(spec.replicas) || is_only_desired_known(memory, spec) {
        return None;
    }
    let by = Author { observation, memory }.of_written(&observation.count.writers.replicas);
    Some(change(observation, fields::REPLICAS, before, spec.replicas, by, &spec.reason))
}

/// The change of the override, or of its reason alone. The counts are the desired ones.
fn change_of_override(observation: &Observation, memory: &Memory, is_replicas_new: bool) -> Option<Change> {
    let (spec, writers) = (&observation.count.spec, &observation.count.writers.override_);
    let author = Author { observation, memory };
    let before = memory.spec.as_ref().and_then(|before| before.override_.as_ref());
    let is_in_force = |before: &&Override| before.until.0 > observation.at && memory.desired == Some(before.replicas);
    let was = before.filter(is_in_force);
    // If the lasting count is new as well, its change comes first.
    let lasting = lasting_before(memory).filter(|_| !is_replicas_new).unwrap_or(spec.replicas);
    let from = Some(was.map_or(lasting, |was| was.replicas));
    match (before, &spec.override_) {
        (Some(before), Some(now)) if is_same(before, now) => (before.reason != now.reason).then(|| {
            let by = author.of(&writers.reason, &now.reason);
            change(observation, fields::REASON, Some(now.replicas), now.replicas, by, &now.reason)
        }),
        (_, Some(now)) => {
            let to = if now.until.0 > observation.at { now.replicas } else { spec.replicas };
            let by = author.of_written(writer(writers, before, now));
            Some(change(observation, fields::OVERRIDE, from, to, by, &now.reason))
        }
        (Some(_), None) if was.is_some() => {
            let reason = if is_replicas_new { &*spec.reason } else { "the override was cleared" };
            Some(change(observation, fields::OVERRIDE, from, spec.replicas, author.of_removal(), reason))
        }
        // It had ended before.
        _ => None,
    }
}

/// The writer of the field in which two overrides differ.
fn writer<'a>(writers: &'a OverrideWriters, before: Option<&Override>, now: &Override) -> &'a Arc<str> {
    match before {
        Some(before) if before.replicas != now.replicas => &writers.replicas,
        Some(before) if before.until != now.until => &writers.until,
        Some(_) => &writers.then_unset,
        None => &writers.replicas,
    }
}

/// The end of an override by time.
fn ended(observation: &Observation, memory: &Memory, desired: Option<i32>, is_new: bool) -> Option<Change> {
    let over = memory.spec.as_ref().and_then(|before| before.override_.as_ref());
    let is_over = over.is_some_and(|over| over.until.0 <= observation.at && memory.desired == Some(over.replicas));
    // A server of an older version did not store the spec.
    let is_over = if memory.spec.is_some() { is_over } else { !is_new };
    let to = if is_new { memory.spec.as_ref().map(|before| before.replicas) } else { desired };
    let to = to.filter(|to| is_over && memory.desired != Some(*to))?;
    Some(change(observation, fields::OVERRIDE, memory.desired, to, Arc::default(), "the override ended"))
}

/// Whether the spec has changed several times since the last decision: the states between were not seen.
fn are_several(observation: &Observation, memory: &Memory) -> bool {
    let before = memory.generation.unwrap_or_default();
    observation.count.generation.is_some_and(|now| now.saturating_sub(before) > 1)
}

/// One line for several changes.
fn several(observation: &Observation, memory: &Memory, desired: Option<i32>) -> Change {
    let (spec, now) = (&observation.count.spec, ObservedSpec::from(&observation.count.spec));
    let is_same = memory.spec.as_ref().map(|before| {
        (before.replicas == now.replicas, before.override_ == now.override_, before.reason == now.reason)
    });
    let field = match is_same {
        // The reason of a new count is a part of its change.
        Some((false, true, _)) => fields::REPLICAS,
        Some((true, false, true)) => fields::OVERRIDE,
        Some((true, true, false)) => fields::REASON,
        _ => fields::SPEC,
    };
    let over = memory.active_override(&observation.count, observation.at).filter(|_| field != fields::REPLICAS);
    let (from, to) = match field {
        fields::REPLICAS => (lasting_before(memory), spec.replicas),
        _ => (memory.desired, desired.unwrap_or(spec.replicas)),
    };
    let reason = over.map_or(&spec.reason, |over| &over.reason);
    change(observation, field, from, to, SEVERAL.into(), reason)
}

/// Whether an older server stored the desired count alone, and it was that of the override that still lasts.
fn is_only_desired_known(memory: &Memory, spec: &ReplicaCountSpec) -> bool {
    let over = spec.override_.as_ref().map(|over| over.replicas);
    memory.spec.is_none() && memory.desired.is_some() && over == memory.desired
}

fn is_same(one: &Override, other: &Override) -> bool {
    let parts = |over: &Override| (over.replicas, over.until.0, over.then_unset);
    parts(one) == parts(other)
}

/// Finds who made a change.
struct Author<'a> {
    observation: &'a Observation,
    memory: &'a Memory,
}

impl Author<'_> {
    /// The author of a text, by its writer. An empty text has no owner.
    fn of(&self, writer: &Arc<str>, text: &str) -> Arc<str> {
        if text.is_empty() { self.of_removal() } else { self.of_written(writer) }
    }

    /// The author of a field that has this writer. A review names the user, whatever the object says. If several users
    /// fit, one of them may have written a name into the object that is not theirs.
    fn of_written(&self, writer: &Arc<str>) -> Arc<str> {
        match (self.observation.count_writer(), self.observation.count.restoring(), &**writer) {
            (Some(ReviewedUser::Known(user)), ..) => user.clone(),
            (Some(ReviewedUser::SeveralUsers), ..) => UNKNOWN.into(),
            // As with a writer of a field: the user if this server wrote the request, otherwise the field manager.
            (_, Some(user), _) => user.into(),
            (_, None, "") => UNKNOWN.into(),
            (_, None, _) => writer.clone(),
        }
    }

    /// Who removed a field. If no later write is known, the removal left no trace.
    fn of_removal(&self) -> Arc<str> {
        let count = &self.observation.count;
        let (latest, time) = &count.writers.latest;
        // A term begins without a latest writer, and with the changes that the status shows.
        let since = self.memory.history.latest_change().map(|change| change.at.0);
        let (is_set, is_written) = match &self.memory.latest_writer {
            Some(before) => (count.set_at != self.memory.set_at, *before != count.writers.latest),
            None => (count.set_at > since, *time > since.map(|since| since.as_second())),
        };
        match (is_set, is_written) {
            (true, _) => self.of_written(&count.writers.set_by),
            (_, true) => self.of_written(latest),
            _ => self.of_written(&Arc::default()),
        }
    }
}
