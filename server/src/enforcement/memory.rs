//! What enforcement remembers of one managed target between two decisions.

mod answers;
mod attempts;
mod desired;
mod pauses;
mod replay;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use self::attempts::PendingAttempts;
use super::{
    appliers::Appliers,
    assessment::LastCorrection,
    changed_count::ChangedCount,
    contention::{Contention, Contested},
    decision::{Decision, Restorer},
    failure::Failure,
    history::History,
    observation::{Now, Observation},
    writes::{CorrectionAnswer, OwnershipAnswer, StatusAnswer},
};
use crate::{
    index::KindState,
    resources::{
        Attempt, ObservedSpec, ReplicaCountState, ReplicaCountStatus, TargetState, Uid,
        conditions::{CONTESTED, READY, reasons, statuses},
    },
};

/// What is remembered of one managed target. [`Memory::record`] alone changes it.
#[derive(Debug)]
pub struct Memory {
    /// The generation of the latest reconciled spec.
    pub generation: Option<i64>,
    /// The counts and reasons of the latest reconciled spec.
    pub spec: Option<ObservedSpec>,
    /// Who wrote the `ReplicaCount` last, apart from its status, and when.
    pub latest_writer: Option<(Arc<str>, Option<i64>)>,
    /// When the latest Set of the gRPC API was.
    pub set_at: Option<Timestamp>,
    /// The latest desired count, in replicas.
    pub desired: Option<i32>,
    /// Who asked for the count from before, while that is asked for.
    pub restorer: Option<Box<Restorer>>,
    /// The target's count in its latest state, in replicas. At first it is the count that was in place when the status
    /// was written.
    pub observed: Option<i32>,
    /// Whether this term has read a count of this target, or the latest drift is a removal of it. If it has none then,
    /// somebody has removed it. Otherwise it is not known where the kind has its count. A count in the status of an
    /// earlier leader does not tell, because that leader may have read it at another path.
    pub has_count: bool,
    /// The UID of the target in its latest state. At first it is the UID in the status, which an earlier leader saw.
    pub target_uid: Option<Uid>,
    /// Whether this term has seen a state of the target.
    pub has_seen_target: bool,
    /// The target's past.
    pub history: History,
    /// Contention for its count.
    pub contention: Contention,
    /// The contention that the server has announced.
    pub contested: Option<Contested>,
    /// Whether a smaller count is in place and more replicas than desired are still ready.
    pub is_scaling_down: bool,
    /// The managers that apply its count.
    pub appliers: Appliers,
    /// The correction that is under way.
    pub correcting: Option<Started>,
    /// Whether the API server has accepted the deletion of the `ReplicaCount`. The index shows it a moment later.
    pub is_unset: bool,
    /// The spec of the `ReplicaCount` has changed after this resource version. The deletion waits until the index has a
    /// newer one.
    pub outdated_version: u64,
    /// The latest correction that the API server has stored.
    pub last_correction: Option<LastCorrection>,
    /// The latest correction, if admission changed its count.
    pub changed_count: Option<ChangedCount>,
    /// The failed corrections since the last one that succeeded. One that admission changed counts as failed.
    pub correction_failure: Option<Box<Failure>>,
    /// Whether the last correction failed because of this target. Unlike `correction_failure`, it stays when somebody
    /// else puts the count back. It ends when a correction succeeds, and with a new spec, another desired count or
    /// another target.
    pub is_failing: bool,
    /// The resource version of the target that showed the latest drift.
    pub drift_version: u64,
    /// The latest resource version of the target at which a give-back found or made the owners right.
    pub owners_right_at: Option<u64>,
    /// The latest resource version of the target at which a give-back found an apply that was not seen yet.
    pub owners_outdated_at: u64,
    /// Since when the management should end.
    pub ending_since: Option<Instant>,
    /// The failed patches of ownership since the last one that succeeded.
    pub ownership_failure: Option<Box<Failure>>,
    /// The attempts to change the count that no status shows yet.
    pub attempts: PendingAttempts,
    /// The status as the API server has it.
    pub stored: Arc<ReplicaCountStatus>,
    /// The failed status writes since the last one that succeeded.
    pub status_failure: Option<Box<Failure>>,
    /// How many status writes in a row were stored otherwise than they were sent.
    pub changed_statuses: u32,
    /// The status writes that met a newer object, until none did for a time.
    pub status_conflict: Option<Box<Failure>>,
    /// A resource version of the `ReplicaCount` with that status: the precondition of the next status write.
    pub stored_version: u64,
    /// The statuses that may have been stored: their writes got no answer. All of them have the same precondition, so
    /// the API server has stored one of them at most.
    unanswered: Vec<Arc<ReplicaCountStatus>>,
}

/// A correction that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// The target is being set to this count, in replicas.
    Scale(i32),
    /// The `ReplicaCount` is being deleted.
    Unset,
}

/// What there is to remember.
pub enum Record<'a> {
    /// A decision, and what it was made from.
    Decision(&'a Decision, &'a Observation),
    /// The start of a correction.
    CorrectionStarted(Started),
    /// The answer to a correction.
    Correction(&'a CorrectionAnswer),
    /// The answer to a status write.
    Status(StatusAnswer),
    /// The answer to a patch of ownership.
    Ownership(&'a OwnershipAnswer),
    /// An attempt to change the count.
    Attempt(Attempt),
    /// The server stops: the attempts are to be reported now.
    LastReport,
}

impl Memory {
    /// Goes on where a `ReplicaCount`'s status says that enforcement stopped.
    pub fn of(observation: &Observation) -> Self {
        let status = &observation.count.status;
        Self {
            generation: status.observed_generation,
            spec: observed_spec(&observation.count),
            latest_writer: None,
            set_at: observation.count.set_at,
            desired: status.desired,
            restorer: None,
            observed: status.observed,
            has_count: is_count_removed(status),
            target_uid: status.target_uid.as_deref().map(Uid::from),
            has_seen_target: false,
            history: History::of(status),
            contention: Contention::of(status),
            contested: announced(status),
            is_scaling_down: is_scaling_down(status),
            appliers: Appliers::of(status).reported_at(observation.count.status_at),
            correcting: None,
            is_unset: false,
            outdated_version: 0,
            last_correction: None,
            changed_count: None,
            correction_failure: None,
            is_failing: false,
            drift_version: 0,
            owners_right_at: None,
            owners_outdated_at: 0,
            ending_since: None,
            ownership_failure: None,
            status_failure: None,
            changed_statuses: 0,
            attempts: PendingAttempts::default(),
            status_conflict: None,
            stored: status.clone(),
            stored_version: observation.count.resource_version,
            unanswered: Vec::new(),
        }
    }

    /// Whether this is the object seen last. True if none was seen yet.
    pub fn is_known(&self, target: &TargetState) -> bool {
        self.target_uid.as_ref().is_none_or(|uid| *uid == target.uid)
    }

    /// Remembers what happened.
    pub fn record(&mut self, record: Record<'_>, now: Now) {
        match record {
            Record::Decision(decision, observation) => self.record_decision(decision, observation, now),
            Record::CorrectionStarted(started) => self.correcting = Some(started),
            Record::Correction(answer) => self.record_correction(answer, now),
            Record::Status(answer) => self.record_status(answer, now),
            Record::Ownership(answer) => self.record_ownership(answer, now),
            Record::Attempt(attempt) => self.attempts.add(attempt, self.desired),
            Record::LastReport => self.attempts.hurry(),
        }
    }

    fn record_decision(&mut self, decision: &Decision, observation: &Observation, now: Now) {
        let count = &observation.count;
        if self.is_forgiven(observation) {
            self.correction_failure = None;
            self.changed_count = None;
            self.is_failing = false;
            self.status_failure = None;
        }
        self.record_spec(count, observation.at);
        self.restorer = decision.restorer.clone();
        if let Some(contention) = &decision.contention {
            self.contention = contention.clone();
        }
        for change in &decision.changes {
            self.history.add_change(change.clone());
        }
        if let Some(target) = &observation.target {
            self.record_target(decision, target);
        } else if observation.kind == KindState::Unlisted && self.has_seen_target {
            // The kind may have its count at another path now.
            self.observed = None;
            self.has_count = false;
        }
        if let Some(drift) = &decision.drift {
            self.history.add_drift(drift);
            self.drift_version = observation.target.as_ref().map_or(0, |target| target.resource_version);
        }
        if let Some((number, last)) = &decision.attempts {
            self.history.add_attempts(*number, last.clone());
            self.attempts.reported(now.monotonic);
        }
        if let Some(ended) = &decision.ended_drift {
            self.history.end_drift(ended);
        }
        self.contested = decision.contested.clone();
        self.is_scaling_down = decision.is_scaling_down;
        self.ending_since = decision.ending_since;
        if !decision.assessment.needs_write() {
            self.correction_failure = None;
            self.changed_count = None;
        }
        if decision.events.changed_count.is_some()
            && let Some(changed) = &mut self.changed_count
        {
            changed.is_announced = true;
        }
        // The index keeps the same status: share it.
        if Arc::ptr_eq(&count.status, &self.stored) || *count.status == *self.stored {
            self.stored = count.status.clone();
            self.stored_version = self.stored_version.max(count.resource_version);
            self.history.share(&self.stored);
        }
    }

    fn record_target(&mut self, decision: &Decision, target: &TargetState) {
        let is_same = self.is_known(target);
        if !is_same {
            self.history.leave_drift();
        }
        self.target_uid = Some(target.uid.clone());
        self.has_seen_target = true;
        if let Some(appliers) = &decision.appliers {
            self.appliers = appliers.clone();
        }
        if self.desired.is_some() && !decision.awaits_answer {
            self.observed = target.replicas;
            self.has_count = target.replicas.is_some() || is_same && self.has_count;
        }
    }
}

/// The spec of which a status shows the changes. The status of an older server does not have it, so it is that of now if
/// the generation is still the same.
fn observed_spec(count: &ReplicaCountState) -> Option<ObservedSpec> {
    let is_current = count.status.observed_generation.is_some() && count.status.observed_generation == count.generation;
    count.status.observed_spec.clone().or_else(|| is_current.then(|| ObservedSpec::from(&count.spec)))
}

/// Whether the count was removed when a status was written: the latest drift had removed it, and no count was observed.
fn is_count_removed(status: &ReplicaCountStatus) -> bool {
    let is_removal = status.last_drift.as_ref().is_some_and(|drift| drift.to.is_none() && drift.corrected_at.is_none());
    is_removal && status.observed.is_none()
}

fn is_scaling_down(status: &ReplicaCountStatus) -> bool {
    status.conditions.iter().any(|one| one.is(READY, statuses::TRUE) && *one.reason == *reasons::SCALING_DOWN)
}

/// The contention that a status shows.
fn announced(status: &ReplicaCountStatus) -> Option<Contested> {
    let contested = status.conditions.iter().find(|one| one.is(CONTESTED, statuses::TRUE))?;
    let reason = [reasons::AUTOSCALED, reasons::REPEATED_DRIFT].into_iter().find(|one| **one == *contested.reason)?;
    Some(Contested { reason, message: contested.message.to_string() })
}

#[cfg(test)]
mod tests;
