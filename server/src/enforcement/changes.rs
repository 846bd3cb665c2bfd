//! The changes of a `ReplicaCount`'s spec: of the lasting count, of the override, and of their reasons. Each names who
//! wrote the field that changed.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{memory::Memory, observation::Observation};
use crate::resources::{Change, ObservedSpec, Override, ReplicaCountSpec};

/// The fields that a change can be of.
mod fields {
    pub const REPLICAS: &str = "replicas";
    pub const OVERRIDE: &str = "override";
    pub const REASON: &str = "reason";
}

/// The author of a change that left no trace.
const UNKNOWN: &str = "unknown";

/// The author of several changes of which no server saw more than the last state.
const SEVERAL: &str = "several, unseen";

/// The changes since the last decision, also those that only time has made, the oldest first.
pub fn changes(observation: &Observation, memory: &Memory, desired: Option<i32>) -> Vec<Change> {
    let mut changes = Vec::new();
    let spec = &observation.count.spec;
    let before = memory.spec.as_ref();
    let is_new = observation.count.generation != memory.generation || memory.generation.is_none();
    // Without the spec of before, as by a server of an older version, the desired count is all that is known.
    let lasting = before.map(|before| before.replicas).or(memory.desired);
    let over = before.and_then(|before| active(before, observation.at));
    if let Some(change) = ended(observation, memory, desired, is_new) {
        changes.push(change);
    }
    if !is_new {
        return changes;
    }
    let author = Author { observation, memory };
    let change = |field: &str, from, to, by: Arc<str>, reason: &str| {
        let (field, reason) = (field.into(), reason.into());
        Change { number: 0, field, from, to, by, reason, at: MicroTime(observation.at) }
    };
    let is_replicas_new = lasting != Some(spec.replicas) && !is_only_desired_known(memory, spec);
    if is_replicas_new {
        let by = author.of(&observation.count.writers.replicas);
        changes.push(change(fields::REPLICAS, lasting, spec.replicas, by, &spec.reason));
    }
    let now = spec.active_override(observation.at);
    if !is_same_override(over, now) {
        let from =
            over.map_or(lasting.filter(|_| !is_replicas_new).or(Some(spec.replicas)), |over| Some(over.replicas));
        let (to, by, reason) = match now {
            Some(now) => (now.replicas, author.of(&observation.count.writers.override_), &*now.reason),
            None if is_replicas_new => (spec.replicas, author.of_removal(), &*spec.reason),
            None => (spec.replicas, author.of_removal(), "the override was cleared"),
        };
        changes.push(change(fields::OVERRIDE, from, to, by, reason));
    } else if let (Some(over), Some(now)) = (over, now)
        && over.reason != now.reason
    {
        let by = author.of(&observation.count.writers.override_);
        changes.push(change(fields::REASON, Some(now.replicas), now.replicas, by, &now.reason));
    }
    if !is_replicas_new && before.is_some_and(|before| before.reason != spec.reason) {
        let writer = &observation.count.writers.reason;
        let by = if spec.reason.is_empty() { author.of_removal() } else { author.of(writer) };
        changes.push(change(fields::REASON, Some(spec.replicas), spec.replicas, by, &spec.reason));
    }
    changes
}

/// The end of an override by time.
fn ended(observation: &Observation, memory: &Memory, desired: Option<i32>, is_new: bool) -> Option<Change> {
    let over = memory.spec.as_ref().and_then(|before| before.override_.as_ref());
    let is_over = over.is_some_and(|over| over.until.0 <= observation.at && memory.desired == Some(over.replicas));
    // A server of an older version did not store the spec.
    let is_over = if memory.spec.is_some() { is_over } else { !is_new };
    let to = if is_new { memory.spec.as_ref().map(|before| before.replicas) } else { desired };
    let to = to.filter(|to| is_over && memory.desired != Some(*to))?;
    Some(Change {
        number: 0,
        field: fields::OVERRIDE.into(),
        from: memory.desired,
        to,
        by: Arc::default(),
        reason: "the override ended".into(),
        at: MicroTime(observation.at),
    })
}

/// Whether an older server stored the desired count alone, and it was that of the override that still lasts.
fn is_only_desired_known(memory: &Memory, spec: &ReplicaCountSpec) -> bool {
    let over = spec.override_.as_ref().map(|over| over.replicas);
    memory.spec.is_none() && memory.desired.is_some() && over == memory.desired
}

fn active(spec: &ObservedSpec, now: Timestamp) -> Option<&Override> {
    spec.override_.as_ref().filter(|over| over.until.0 > now)
}

fn is_same_override(one: Option<&Override>, other: Option<&Override>) -> bool {
    let parts = |over: &Override| (over.replicas, over.until.0, over.then_unset);
    one.map(parts) == other.map(parts)
}

/// Finds who made a change.
struct Author<'a> {
    observation: &'a Observation,
    memory: &'a Memory,
}

impl Author<'_> {
    /// Whether the spec has changed several times since the last decision: the states between were not seen.
    fn are_several(&self) -> bool {
        let (now, before) = (self.observation.count.generation, self.memory.generation);
        now.zip(before).is_some_and(|(now, before)| now.saturating_sub(before) > 1)
    }

    /// The author of a field that has this writer.
    fn of(&self, writer: &Arc<str>) -> Arc<str> {
        match &**writer {
            _ if self.are_several() => SEVERAL.into(),
            "" => UNKNOWN.into(),
            _ => writer.clone(),
        }
    }

    /// Who removed a field. If the latest writer is the one of before, whoever removed the field left no trace.
    fn of_removal(&self) -> Arc<str> {
        let latest = &self.observation.count.writers.latest;
        if self.memory.latest_writer.as_ref() == Some(latest) { self.of(&Arc::default()) } else { self.of(&latest.0) }
    }
}
