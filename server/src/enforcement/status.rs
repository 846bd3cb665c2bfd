//! The status of one managed target, as it should be now.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    assessment::{Assessment, effective_count},
    failure::Cause,
    memory::Memory,
    observation::Observation,
};
use crate::{
    index::KindState,
    resources::{
        Condition, ReplicaCountStatus, Uid, beginning,
        conditions::{CONTESTED, READY, TARGET_FOUND, reasons, statuses},
    },
    reviews::{Admission, paused_autoscaler},
};

/// The longest message of a condition, in bytes. The API server of a kind chooses the length of its refusal, and the
/// status of each `ReplicaCount` of the kind shows it.
const MAX_MESSAGE: usize = 4 * 1024;

/// Builds the status from the latest state and the latest decision about it.
pub fn status(
    observation: &Observation,
    memory: &Memory,
    assessment: Assessment,
    now: Timestamp,
) -> ReplicaCountStatus {
    let (target, last) = (observation.target.as_ref(), memory.last_correction);
    let deleting = observation.count.deleting;
    let mut status = ReplicaCountStatus {
        observed_generation: memory.generation,
        observed_spec: memory.spec.clone(),
        desired: memory.desired,
        // A state from before our correction still has the old count.
        observed: target.filter(|target| target.replicas.is_some()).and_then(|target| effective_count(target, last)),
        ready: target.and_then(|target| target.ready),
        ready_of_desired: memory.desired.map(|desired| ready_of(observation, desired)),
        target_uid: memory.target_uid.as_ref().map(Uid::to_string),
        appliers: memory.appliers.names().map(str::to_owned).collect(),
        admission: observation.admission.filter(|_| !deleting).unwrap_or_default().label().to_owned(),
        conditions: conditions(observation, memory, assessment, now).into(),
        ..ReplicaCountStatus::default()
    };
    memory.history.write_to(&mut status);
    status
}

/// The ready replicas and the desired count, as `kubectl get deployments` shows them. `-` if the kind does not report
/// how many are ready, or if it is not known whether there is a target.
fn ready_of(observation: &Observation, desired: i32) -> String {
    let ready = match (&observation.target, &observation.kind) {
        (Some(target), _) => target.ready,
        (None, KindState::Watched(_)) => Some(0),
        (None, KindState::Unlisted | KindState::Failing(..) | KindState::Unavailable(_)) => None,
    };
    ready.map_or_else(|| format!("-/{desired}"), |ready| format!("{ready}/{desired}"))
}

/// A condition's status, its reason for programs, and its message for people.
type Finding = (&'static str, &'static str, String);

fn conditions(observation: &Observation, memory: &Memory, assessment: Assessment, now: Timestamp) -> [Condition; 3] {
    let is_held = !observation.count.deleting && !assessment.is_left_alone();
    let is_guarded = observation.admission == Some(Admission::Guarded) && is_held;
    let contested = match &memory.contested {
        Some(contested) => (statuses::TRUE, contested.reason, contested.message.clone()),
        None => match observation.autoscaler.as_deref().filter(|_| is_guarded) {
            Some(autoscaler) => {
                let over = memory.active_override(&observation.count, observation.at);
                let message = paused_autoscaler(autoscaler, over);
                (statuses::FALSE, reasons::AUTOSCALER_PAUSED, message)
            }
            None => (statuses::FALSE, reasons::UNCONTESTED, String::new()),
        },
    };
    [(READY, ready(observation, memory, assessment)), (TARGET_FOUND, target_found(observation)), (CONTESTED, contested)]
        .map(|(type_, finding)| condition(type_, finding, observation, memory, now))
}

fn target_found(observation: &Observation) -> Finding {
    match (&observation.kind, &observation.target) {
        (KindState::Unavailable(problem) | KindState::Failing(_, problem), _) => {
            (statuses::UNKNOWN, problem.reason, problem.message.clone())
        }
        (_, Some(_)) => (statuses::TRUE, reasons::FOUND, String::new()),
        (KindState::Unlisted, None) => {
            (statuses::UNKNOWN, reasons::KIND_NOT_LISTED, "the kind is being looked up".to_owned())
        }
        (KindState::Watched(_), None) => (statuses::FALSE, reasons::NOT_FOUND, "there is no such target".to_owned()),
    }
}

/// Whether the target has its desired count and as many replicas are ready. More of them are ready during a rolling
/// update with surge, and while the target scales down.
fn ready(observation: &Observation, memory: &Memory, assessment: Assessment) -> Finding {
    let no = |reason, message: &str| (statuses::FALSE, reason, message.to_owned());
    let yes = (statuses::TRUE, reasons::IN_PLACE, String::new());
    if observation.count.deleting {
        let message = "this ReplicaCount is being deleted and holds no count any more: its finalizers keep the object";
        return no(reasons::REPLICA_COUNT_TERMINATING, message);
    }
    if let KindState::Failing(_, problem) = &observation.kind {
        return no(problem.reason, &problem.message);
    }
    match (assessment, &memory.correction_failure) {
        (Assessment::AboveMaximum(count), _) => {
            let max = observation.max_replicas;
            let message = format!("{count} replicas are above the server's maximum of {max}: not enforced");
            no(reasons::ABOVE_MAXIMUM, &message)
        }
        (Assessment::KindUnavailable, _) => match &observation.kind {
            KindState::Unavailable(problem) => no(problem.reason, &problem.message),
            _ => no(reasons::KIND_NOT_LISTED, "the kind is being looked up"),
        },
        (Assessment::Controlled, _) => {
            let controller = observation.target.as_ref().and_then(|target| target.controller.as_deref());
            let controller = controller.unwrap_or("another object");
            no(reasons::CONTROLLED, &format!("{controller} controls its count: set the count of {controller} instead"))
        }
        (Assessment::Ending | Assessment::Unset, _) if observation.count.restoring().is_some() => {
            restored(observation, memory)
        }
        (Assessment::Ending | Assessment::Unset, _) => {
            no(reasons::OVERRIDE_ENDED, &deletion("the override has ended", memory))
        }
        (Assessment::Await, _) if observation.kind == KindState::Unlisted => {
            no(reasons::KIND_NOT_LISTED, "the kind is being looked up")
        }
        (Assessment::Await, _) if observation.target.is_none() => {
            no(reasons::TARGET_NOT_FOUND, "the target does not exist: it gets this count when it is created")
        }
        (Assessment::Await, _) => no(reasons::TARGET_TERMINATING, "the target is being deleted"),
        (Assessment::Correct(_), Some(failure)) if failure.cause == Cause::Changed => {
            no(reasons::COUNT_CHANGED_BY_ADMISSION, &failure.error)
        }
        (Assessment::Correct(_), Some(failure)) => no(reasons::CORRECTION_FAILED, &failure.error),
        (Assessment::Correct(to), None) if is_unreadable_at(observation, memory, to) => yes,
        (Assessment::Correct(_), None) => no(reasons::CORRECTING, "the count is being put in place"),
        (Assessment::InPlace, _) => {
            let ready = observation.target.as_ref().and_then(|target| target.ready);
            match (ready, memory.desired) {
                (Some(ready), Some(desired)) if ready < desired => {
                    no(reasons::REPLICAS_NOT_READY, &format!("{ready} of {desired} replicas are ready"))
                }
                (Some(ready), Some(desired)) if memory.is_scaling_down => {
                    let message =
                        format!("{ready} replicas are ready, more than the desired {desired}: some are ending");
                    (statuses::TRUE, reasons::SCALING_DOWN, message)
                }
                _ => yes,
            }
        }
    }
}

/// The end of the management, once the count from before is in place, or cannot be.
fn restored(observation: &Observation, memory: &Memory) -> Finding {
    let count = observation.target.as_ref().and_then(|target| effective_count(target, memory.last_correction));
    let what =
        if count == Some(observation.count.spec.replicas) { "is in place again" } else { "cannot be put in place" };
    (statuses::FALSE, reasons::RESTORED, deletion(&format!("the previous count {what}"), memory))
}

/// Why the server deletes the `ReplicaCount`, and what the API server says if it refuses.
fn deletion(why: &str, memory: &Memory) -> String {
    let failure = memory.correction_failure.as_ref().filter(|failure| failure.cause != Cause::Changed);
    let failed = failure.map(|failure| format!("; the last attempt failed: {}", failure.error)).unwrap_or_default();
    format!("{why}: the server is deleting this ReplicaCount{failed}")
}

/// Whether no count of the target was ever read, and our latest correction wrote this count. Then the count is taken to be
/// in place.
fn is_unreadable_at(observation: &Observation, memory: &Memory, count: i32) -> bool {
    let is_unreadable = !memory.has_count && observation.target.is_some();
    is_unreadable && memory.last_correction.is_some_and(|last| last.to == count)
}

/// Keeps the time of the last transition while the condition's status is the same, as metav1.Condition asks.
fn condition(
    type_: &str,
    (status, reason, message): Finding,
    observation: &Observation,
    memory: &Memory,
    now: Timestamp,
) -> Condition {
    let before = memory.stored.conditions.iter().find(|stored| stored.is(type_, status));
    // Kubernetes stores whole seconds. With more, the stored condition would differ from the one that was sent.
    let now = || Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: beginning(&message, MAX_MESSAGE).into(),
        last_transition_time: before.map_or_else(now, |stored| stored.last_transition_time.clone()),
        observed_generation: observation.count.generation,
    }
}

#[cfg(test)]
mod tests;
