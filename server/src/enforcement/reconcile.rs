//! The one decision about a target: from what is known of it, what is remembered and the time, and from nothing else.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{
    appliers::Appliers,
    assessment::{Assessment, LastCorrection, assess},
    changes::{changes, restorer},
    contention::{Contention, contested},
    decision::{Correction, Decision, PendingEvents},
    drift_end::ended_drift,
    failure::{Cause, Failure},
    give_back::{delay_end, give_back},
    memory::{Memory, Started},
    observation::{Now, Observation},
};
use crate::{
    index::KindState,
    resources::{Drift, TargetState, Writer},
};

/// The name of an actor that left no trace, or has no name.
const UNKNOWN: &str = "unknown";

/// How long after a change of the desired count our write of the previous count may still arrive. The API server ends
/// requests after 60 s.
const LATE_WRITE: Duration = Duration::from_secs(120);

/// The longest timer for the end of an override. The end is a wall-clock time, but timers run on the monotonic clock:
/// somebody may set the wall clock, and the machine may sleep.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// Decides everything that follows from the latest state of a target.
///
/// It touches no client, no clock and no lock. DESIGN.md explains its steps under "A drift, step by step".
pub fn reconcile(observation: &Observation, memory: &Memory, now: Now) -> Decision {
    #[cfg(test)]
    tests::count_call();
    // 1. What does the state call for?
    let desired = memory.desired_of(&observation.count, observation.at);
    let assessment = after_restoring(observation, memory, assess(observation, desired, memory.last_correction));
    let mut decision = Decision { assessment, ..Decision::default() };

    // 2. Did the desired count or the spec change? Then forget the contention so far.
    decision.changes = changes(observation, memory, desired);
    decision.restorer = restorer(observation, memory);
    if desired != memory.desired || observation.count.generation != memory.generation {
        decision.contention = Some(Contention::default());
    }

    // 3. Who applies the count, and is the state a drift or the end of one?
    if let Some(target) = &observation.target {
        let left_out = observe_appliers(target, memory, &mut decision);
        decision.awaits_answer = is_unclear_until_answer(target, memory);
        let drift = |desired| drift(observation, target, memory, desired, left_out.as_ref());
        decision.drift = desired.filter(|_| !assessment.is_left_alone()).and_then(drift);
    }
    if decision.drift.is_none() {
        decision.ended_drift = ended_drift(observation, memory, desired, now.wall);
    }

    // 4. Does the end of the management wait until the appliers have the count back?
    let end_in = delay_end(observation, memory, &mut decision, now);
    let assessment = decision.assessment;

    // 5. Is the count contested, by an actor that keeps undoing corrections or by an autoscaler?
    if let Some(drift) = &decision.drift {
        let before = decision.contention.as_ref().unwrap_or(&memory.contention);
        decision.contention = Some(before.with_drift(&drift.manager, drift.at.0));
    }
    let contention = decision.contention.as_ref().unwrap_or(&memory.contention);
    let drift = decision.drift.as_ref();
    let drift_by =
        |manager: &str| drift.filter(|drift| *drift.manager == *manager).or_else(|| memory.history.latest_by(manager));
    if !assessment.is_left_alone() {
        decision.contested = contested(observation, contention, drift_by, now.wall);
    }
    decision.requeue_after = earliest(override_ends_in(observation, memory, now.wall), contention.ends_in(now.wall));
    decision.requeue_after = earliest(decision.requeue_after, end_in);

    decision.is_scaling_down = is_scaling_down(observation, memory, assessment, desired);

    // 6. Which write puts the desired state in place, and when?
    let pause = correction_pause(observation, memory, contention, assessment, now);
    let is_outdated = observation.count.resource_version <= memory.outdated_version;
    let is_deleted = assessment == Assessment::Unset && (memory.is_unset || is_outdated);
    if assessment.needs_write() && memory.correcting.is_none() && !is_deleted {
        if pause.is_zero() {
            decision.correct = correction(observation, assessment);
        } else {
            decision.requeue_after = earliest(decision.requeue_after, Some(pause));
        }
    }

    // 7. Which attempts to change the count are to be reported?
    decision.attempts = memory.attempts.due(now.monotonic);
    decision.requeue_after = earliest(decision.requeue_after, memory.attempts.due_in(now.monotonic));

    // 8. Who should own the count?
    decision.give_back = give_back(observation, memory, &decision, now);

    // 9. What is there to report? Until the kind is listed, keep the stored status: nothing better is known.
    decision.events = events(&decision, memory, desired);
    decision.status = observation.kind != KindState::Unlisted || memory.stored.conditions.is_empty();
    decision
}

/// The end of the management, once the count from before is in place, or cannot be: the target is gone or belongs to
/// another object, or admission has stored another count.
fn after_restoring(observation: &Observation, memory: &Memory, assessment: Assessment) -> Assessment {
    let is_gone = observation.target.as_ref().is_none_or(|target| target.deleting);
    let is_done = match assessment {
        Assessment::InPlace | Assessment::Controlled => true,
        Assessment::Await => is_gone && matches!(observation.kind, KindState::Watched(_)),
        Assessment::Correct(count) => memory.changed_count.is_some_and(|changed| changed.sent == count),
        _ => false,
    };
    let is_restoring = observation.count.restoring().is_some() && !observation.count.deleting;
    if is_restoring && is_done { Assessment::Unset } else { assessment }
}

/// Decides the appliers, and returns the one that has just left the count out.
fn observe_appliers(target: &TargetState, memory: &Memory, decision: &mut Decision) -> Option<Writer> {
    // Another object of the same name has no appliers of its own yet.
    let none = Appliers::default();
    let before = if memory.is_known(target) { &memory.appliers } else { &none };
    let (after, left_out) = before.after(&target.owners, target.replicas, memory.observed);
    decision.appliers = (after != memory.appliers).then_some(after);
    left_out
}

/// The drift that a new state of a target shows: somebody else wrote another count than desired, or removed the count.
///
/// A difference that comes from a new desired count is no drift, as the target did not change. Neither is a write of
/// ours. If the only owner applies without the count, the API server sets the default, if there is one, and records no
/// owner. Then this applier is the actor.
fn drift(
    observation: &Observation,
    target: &TargetState,
    memory: &Memory,
    desired: i32,
    left_out: Option<&Writer>,
) -> Option<Drift> {
    let (from, to) = (memory.observed, target.replicas);
    if to == from || to == Some(desired) || !is_change_of_count(target, memory) {
        return None;
    }
    let last = target.owners.last();
    let may_be_ours = |to| is_changed_write(memory, to) || is_own_late_write(observation, memory, to);
    let is_ours = is_own_write(target, memory) || last.is_some_and(Writer::is_ours) && to.is_some_and(may_be_ours);
    if is_ours || is_unclear_until_answer(target, memory) {
        return None;
    }
    let actor = last.or(left_out);
    let named = actor.map(|actor| &actor.manager).filter(|manager| !manager.is_empty());
    Some(Drift {
        number: 0,
        manager: named.cloned().unwrap_or_else(|| UNKNOWN.into()),
        operation: actor.map(|actor| actor.operation.to_string().into()).unwrap_or_default(),
        subresource: actor.filter(|actor| actor.scale).map(|_| "scale".into()).unwrap_or_default(),
        from,
        to,
        at: MicroTime(observation.at),
        corrected_at: None,
        user: observation.target_user().cloned().unwrap_or_default(),
    })
}

/// Whether a difference to the latest count is a change: a count was read before, and a new object without a count has not
/// lost one. Whether a count was removed while no server ran is not known, because the kind may have its counts at another
/// path since.
fn is_change_of_count(target: &TargetState, memory: &Memory) -> bool {
    match target.replicas {
        Some(_) => memory.has_count || memory.observed.is_some(),
        None => memory.has_count && memory.is_known(target),
    }
}

/// Whether a state is one that we wrote: by its resource version, or by the count of the write that is under way.
/// Kubernetes records no owner for a 0 written through `/scale`, and none for the next write through `/scale` either.
fn is_own_write(target: &TargetState, memory: &Memory) -> bool {
    let is_last = |last: LastCorrection| last.version == target.resource_version;
    memory.last_correction.is_some_and(is_last)
        || target.replicas.is_some_and(|count| memory.correcting == Some(Started::Scale(count)))
}

/// Whether a write under our name may be our own, with a count that admission changed. It may be if a correction is
/// under way or got no answer, or if admission stored this count the last time.
fn is_changed_write(memory: &Memory, count: i32) -> bool {
    let is_unanswered = |failure: &Failure| matches!(failure.cause, Cause::ApiServer | Cause::NoAnswer);
    matches!(memory.correcting, Some(Started::Scale(_)))
        || memory.correction_failure.as_deref().is_some_and(is_unanswered)
        || memory.changed_count.is_some_and(|changed| changed.stored == count)
}

/// Whether only the answer of the correction under way will show who wrote a state. Kubernetes records no owner for a 0
/// written through `/scale`, and admission may have made our count a 0.
fn is_unclear_until_answer(target: &TargetState, memory: &Memory) -> bool {
    let is_another = matches!(memory.correcting, Some(Started::Scale(to)) if to != 0);
    is_another && target.replicas == Some(0) && target.owners.last().is_none()
}

/// Whether a write under our name may be a late one of ours, or of the previous leader. Anybody can write under our
/// name, so the count must be desired now or in the last 2 minutes. In the first state of a term any count is accepted:
/// the previous leader may have written it.
fn is_own_late_write(observation: &Observation, memory: &Memory, count: i32) -> bool {
    let is_first = !memory.has_seen_target;
    let since = observation.at.checked_sub(LATE_WRITE).unwrap_or(Timestamp::MIN);
    is_first || memory.desired == Some(count) || memory.history.was_desired_after(count, since)
}

/// How long the next correction has to wait, after failures or after many corrections within a minute.
///
/// A new state of the same target ends the pause after failures only if admission changed the last correction.
/// Otherwise a program that writes the target without end would cause a correction for each of its writes. The pace of
/// [`Contention`] applies to every write of the count. The deletion of the `ReplicaCount` does not wait for it, because
/// the deletion ends the contention, and each drift within the pause would put it off again.
fn correction_pause(
    observation: &Observation,
    memory: &Memory,
    contention: &Contention,
    assessment: Assessment,
    now: Now,
) -> Duration {
    let is_at_once = memory.is_forgiven(observation) || memory.is_worth_a_try(observation);
    let failure = memory.correction_failure.as_ref().filter(|_| !is_at_once);
    let pause = failure.map(|failure| failure.pause(now.monotonic)).unwrap_or_default();
    if assessment == Assessment::Unset { pause } else { pause.max(contention.pause(now.wall)) }
}

/// Whether a smaller count is in place, while more replicas than desired are still ready.
///
/// A rolling update with surge has more ready replicas as well, but nothing lowers its count.
fn is_scaling_down(observation: &Observation, memory: &Memory, assessment: Assessment, desired: Option<i32>) -> bool {
    let Some(target) = observation.target.as_ref().filter(|_| assessment == Assessment::InPlace) else { return false };
    // A state from before our correction still has the larger count.
    let is_lower = memory.observed > target.replicas || target.replicas > desired;
    target.ready > desired && (is_lower || memory.is_scaling_down)
}

fn correction(observation: &Observation, assessment: Assessment) -> Option<Correction> {
    match (assessment, &observation.kind) {
        (Assessment::Correct(to), KindState::Watched(kind) | KindState::Failing(kind, _)) => {
            let seen = observation.target.as_ref().map_or(0, |target| target.resource_version);
            Some(Correction::Scale { to, kind: kind.clone(), seen })
        }
        (Assessment::Unset, _) => Some(Correction::Unset { count: observation.count.clone() }),
        _ => None,
    }
}

fn events(decision: &Decision, memory: &Memory, desired: Option<i32>) -> PendingEvents {
    let put_back = decision.ended_drift.as_ref().zip(desired).map(|(drift, to)| (drift.actor(), to));
    let contested = decision.contested.clone().filter(|_| decision.contested != memory.contested);
    let changed_count = memory.changed_count.filter(|changed| !changed.is_announced);
    let attempts = decision.attempts.as_ref().zip(memory.attempts.held());
    let guarded = attempts.map(|((_, attempt), held)| (attempt.actor(), held));
    PendingEvents { put_back, contested, changed_count, guarded }
}

/// The time until the override ends, or until the clock should be looked at again.
fn override_ends_in(observation: &Observation, memory: &Memory, now: Timestamp) -> Option<Duration> {
    let until = memory.active_override(&observation.count, observation.at)?.until.0;
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Some(left.min(CLOCK_CHECK))
}

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
pub(super) mod tests;
