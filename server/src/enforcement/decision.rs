//! The result of reconciling one target.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    appliers::{Appliers, Recipient},
    assessment::Assessment,
    changed_count::ChangedCount,
    contention::{Contention, Contested},
    observation::Observation,
};
use crate::{
    index::KindState,
    resources::{Attempt, Change, Drift, ReplicaCountState, RestoreRequest, TargetKind, Uid},
};

/// Everything that follows from one state of a target. Its parts cannot disagree, as one function makes them.
#[derive(Debug, Default)]
pub struct Decision {
    /// What the state calls for.
    pub assessment: Assessment,
    /// The changes of the spec since the last decision, the oldest first.
    pub changes: Vec<Change>,
    /// The drift, if the state shows one.
    pub drift: Option<Drift>,
    /// Whether the state may come from the correction that is under way. Only its answer will show that.
    pub awaits_answer: bool,
    /// The attempts to report: how many, and the latest.
    pub attempts: Option<(i64, Attempt)>,
    /// The drift that ended: the desired count is in place again.
    pub ended_drift: Option<Drift>,
    /// Who asked for the count from before, while that is asked for.
    pub restorer: Option<Box<Restorer>>,
    /// The contention from now on, if it changed.
    pub contention: Option<Contention>,
    /// The actor or autoscaler that competes for the count, if there is one.
    pub contested: Option<Contested>,
    /// The appliers from now on, if they changed.
    pub appliers: Option<Appliers>,
    /// Whether a smaller count is in place and more replicas than desired are still ready.
    pub is_scaling_down: bool,
    /// The write to start now.
    pub correct: Option<Correction>,
    /// Whether the status may have changed. It is built when it is sent, from the latest state.
    pub status: bool,
    /// The ownership to give back.
    pub give_back: Option<GiveBack>,
    /// Since when the management should end.
    pub ending_since: Option<Instant>,
    /// The Events to write.
    pub events: PendingEvents,
    /// When to decide again, if nothing happens before.
    pub requeue_after: Option<Duration>,
}

impl Decision {
    /// The appliers from now on. If they did not change, they are those before.
    pub fn appliers_or<'a>(&'a self, before: &'a Appliers) -> &'a Appliers {
        self.appliers.as_ref().unwrap_or(before)
    }
}

/// Who asked for the count from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restorer {
    /// The request, as the `ReplicaCount` has it.
    pub request: RestoreRequest,
    /// Who made it: the user if one is known, otherwise the field manager, or `unknown`.
    pub by: Arc<str>,
}

/// A write that puts the desired state in place.
#[derive(Clone, Debug, PartialEq)]
pub enum Correction {
    /// Set the target's count.
    Scale {
        /// The count, in replicas.
        to: i32,
        /// The target's kind.
        kind: Arc<TargetKind>,
        /// The target's latest resource version.
        seen: u64,
    },
    /// Delete the `ReplicaCount`, unless it changes meanwhile.
    Unset {
        /// The object to delete.
        count: Arc<ReplicaCountState>,
    },
}

/// Ownership to give back to the managers that apply the count.
#[derive(Clone, Debug, PartialEq)]
pub struct GiveBack {
    /// The target's kind.
    pub kind: Arc<TargetKind>,
    /// The target's UID. Another object of the same name has other appliers.
    pub uid: Uid,
    /// The managers.
    pub recipients: Vec<Recipient>,
    /// How long to wait, after failures.
    pub after: Duration,
}

impl GiveBack {
    /// The give-back to these appliers after a pause. `None` if there is no target, or its kind is not watched.
    pub fn of(observation: &Observation, appliers: &Appliers, after: Duration) -> Option<Self> {
        let (KindState::Watched(kind), Some(target)) = (&observation.kind, &observation.target) else { return None };
        let recipients = appliers.recipients().to_vec();
        Some(Self { kind: kind.clone(), uid: target.uid.clone(), recipients, after })
    }
}

/// Events to write about one target.
#[derive(Debug, Default)]
pub struct PendingEvents {
    /// The latest drift that ended: the actor, and the count that is in place again.
    pub put_back: Option<(String, i32)>,
    /// Contention that began.
    pub contested: Option<Contested>,
    /// A correction that admission changed.
    pub changed_count: Option<ChangedCount>,
    /// The latest prevented change: who tried it, and the count that stays in place.
    pub guarded: Option<(String, i32)>,
}

impl PendingEvents {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.put_back.is_none() && self.contested.is_none() && self.changed_count.is_none() && self.guarded.is_none()
    }

    /// Adds later Events, which replace earlier ones of their kind.
    pub fn merge(&mut self, later: Self) {
        self.put_back = later.put_back.or(self.put_back.take());
        self.contested = later.contested.or(self.contested.take());
        self.changed_count = later.changed_count.or(self.changed_count.take());
        self.guarded = later.guarded.or(self.guarded.take());
    }
}
