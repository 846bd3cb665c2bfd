//! What the controller remembers of one managed target: its latest states, and what is under way for it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::Instant;

use super::{
    contention::{AUTOSCALED, CONTESTED, Contention, REPEATED_DRIFT},
    history::History,
    ownership::{Appliers, GiveBack, GivenBack},
    plan::{Observation, Plan, drift_from},
    report::reference,
};
use crate::{
    index::{KindState, TargetSnapshot},
    resources::{Drift, ReplicaCountState, ReplicaCountStatus, TargetKey, TargetState},
};

/// The first pause after giving back has failed; it doubles.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(1);

/// The longest: whatever refuses it may do so for good.
const GIVE_BACK_PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// One managed target.
#[derive(Debug)]
pub struct ManagedTarget {
    /// The latest `ReplicaCount`.
    pub count: Arc<ReplicaCountState>,
    /// The latest state of the target.
    pub target: Option<Arc<TargetState>>,
    /// The failed writes since the last one that succeeded.
    pub failure: Option<Failure>,
    /// What is known of its past.
    pub history: History,
    /// Who fights over its count.
    pub contest: Contention,
    /// Whether its kind is watched.
    pub(super) kind: KindState,
    /// The autoscaler that scales it.
    pub(super) autoscaler: Option<Arc<str>>,
    pub(super) appliers: Appliers,
    pub(super) max_replicas: i32,
    pub(super) desired: Option<i32>,
    /// The count of the correction that is under way.
    correcting_to: Option<i32>,
    /// The latest correction: its count, and the target's resource version with it.
    corrected: Option<(i32, u64)>,
    /// The target's resource version as of which its owners were put right.
    given_back: u64,
    /// How often giving back has failed in a row, and when to try again; events do not make it sooner.
    give_back_failed: Option<(u32, Instant)>,
    before: Option<i32>,
    /// The fight that was told of.
    told: Option<(&'static str, String)>,
    /// The status as the API server has it, and the one that was sent last.
    pub(super) stored: Arc<ReplicaCountStatus>,
    /// The resource version with the status that we stored last: what is older tells nothing new.
    stored_version: u64,
    sent: Option<Arc<ReplicaCountStatus>>,
}

/// Writes that failed in a row.
#[derive(Debug)]
pub struct Failure {
    /// How many there were.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
    /// When to try again; events do not make it sooner.
    pub retry_at: Instant,
}

impl ManagedTarget {
    /// Takes up a target where its status says that it was left.
    pub fn new(count: Arc<ReplicaCountState>, max_replicas: i32) -> Self {
        let stored = count.status.clone();
        Self {
            target: None,
            failure: None,
            history: History::of(&stored),
            contest: Contention::of(&stored),
            kind: KindState::default(),
            autoscaler: None,
            appliers: Appliers::of(&stored),
            max_replicas,
            desired: stored.desired,
            correcting_to: None,
            corrected: None,
            given_back: 0,
            give_back_failed: None,
            before: stored.observed,
            told: told(&stored),
            stored,
            stored_version: 0,
            sent: None,
            count,
        }
    }

    /// Takes in a new state and tells of the drift that it is, if it is one.
    pub fn observe(&mut self, count: Arc<ReplicaCountState>, seen: TargetSnapshot) -> Option<&Drift> {
        let now = seen.at;
        if count.generation != self.count.generation {
            // Somebody has decided, be it for the same count.
            self.contest.clear();
        }
        if count.resource_version > self.count.resource_version && count.resource_version >= self.stored_version {
            self.adopt(count.status.clone());
        }
        self.count = count;
        let before = self.target.take();
        (self.target, self.kind, self.autoscaler) = (seen.target, seen.kind, seen.autoscaler);
        self.note_change(now);
        let target = self.target.as_ref()?;
        if before.is_some_and(|before| before.uid != target.uid) {
            // Another object of the same name: nobody has applied it yet.
            self.appliers = Appliers::default();
        }
        let left_out = self.appliers.observe(&target.owners, target.replicas);
        let desired = self.desired?;
        // A count of 0 leaves no owner behind, and so neither does the next write through /scale.
        let ours = self.corrected.is_some_and(|(_, version)| version == target.resource_version)
            || target.replicas == self.correcting_to;
        let from = drift_from(self.before, target, desired, ours);
        self.before = target.replicas;
        if let (Some(from), Some(to)) = (from, target.replicas) {
            // An applier that leaves the count out resets it, and owns it no longer.
            let writer = target.owners.last().or(left_out.as_ref());
            let drift = self.history.drift(writer, from, to, now);
            self.contest.drifted(&drift.manager, now);
            return Some(drift);
        }
        if self.before == self.desired {
            self.history.end_drift(now);
        }
        None
    }

    /// Takes over what another server has stored: two that insisted on their own would write in turns without end.
    fn adopt(&mut self, status: Arc<ReplicaCountStatus>) {
        let ours = self.sent.take_if(|sent| *sent == status).is_some();
        if ours || status == self.stored {
            self.history.keep_in(&status);
        } else {
            self.history = History::of(&status);
            self.contest.adopt(&status);
            self.appliers.adopt(&status);
        }
        self.stored = status;
    }

    /// Records that the desired count is another than before, also when only time has passed.
    pub fn note_change(&mut self, now: Timestamp) {
        let desired = self.count.spec.desired(now);
        if desired == self.desired {
            return;
        }
        self.contest.clear();
        if let Some(to) = desired {
            let by_time = self.count.generation == self.stored.observed_generation;
            let reason = match self.count.spec.active_override(now) {
                _ if by_time => "the override ended",
                Some(over) => &over.reason,
                None => &self.count.spec.reason,
            };
            let by = if by_time { String::new() } else { self.count.set_by.to_string() };
            self.history.change(self.desired, to, by, reason.to_owned(), now);
        }
        self.desired = desired;
    }

    /// Records that a correction is under way.
    pub fn note_correcting(&mut self, to: i32) {
        self.correcting_to = Some(to);
    }

    /// Records that the write under way has ended, and with which resource version of the target, if it was stored.
    pub fn note_written(&mut self, stored: Option<(i32, u64)>, now: Timestamp) {
        self.correcting_to = None;
        let Some((to, version)) = stored else { return };
        self.corrected = Some((to, version));
        // An answer with the version that is known already tells of a write that changed nothing.
        if self.target.as_ref().is_none_or(|target| target.resource_version != version) {
            self.contest.corrected(now);
        }
        self.failure = None;
        if self.desired == Some(to) {
            self.history.end_drift(now);
        }
    }

    /// Whether the target's count cannot be read, and this one was written last.
    pub(super) fn is_unreadable_at(&self, count: i32) -> bool {
        let unreadable = self.target.as_ref().is_some_and(|target| target.replicas.is_none());
        unreadable && self.corrected.is_some_and(|(to, _)| to == count)
    }

    /// How long the next write has to wait, after failed ones or in a fight.
    pub fn pause(&self, now: Timestamp) -> Duration {
        let failure = self.failure.as_ref().map(|failure| failure.retry_at.saturating_duration_since(Instant::now()));
        failure.unwrap_or_default().max(self.contest.pause(now))
    }

    /// The target, as Events name it.
    pub fn reference(&self, key: &TargetKey) -> ObjectReference {
        ObjectReference {
            uid: self.target.as_ref().map(|target| target.uid.to_string()),
            ..reference(&self.count.spec.scale_target_ref.api_version, &key.kind.kind, &key.namespace, &key.name)
        }
    }

    /// The situation to decide on.
    pub fn observation(&self, now: Timestamp) -> Observation<'_> {
        Observation {
            spec: &self.count.spec,
            target: self.target.as_deref(),
            kind: &self.kind,
            max_replicas: self.max_replicas,
            corrected: self.corrected,
            ending: self.count.deleting,
            now,
        }
    }

    /// The status to send, unless the API server has it already.
    pub fn status_to_send(&mut self, now: Timestamp) -> Option<Arc<ReplicaCountStatus>> {
        // What another server, or this one before its start, has found out about the target still stands.
        if self.kind == KindState::Unlisted && !self.stored.conditions.is_empty() {
            return None;
        }
        let status = Arc::new(self.status(now));
        if status == self.stored {
            return None;
        }
        self.sent = Some(status.clone());
        Some(status)
    }

    /// How many drifts the stored status tells of, if there is one.
    pub fn stored_drifts(&self) -> Option<i64> {
        (*self.stored != ReplicaCountStatus::default()).then_some(self.stored.drifts)
    }

    /// Records what the API server has stored, and with which resource version.
    pub fn note_stored(&mut self, status: Arc<ReplicaCountStatus>, version: u64) {
        self.stored = status;
        self.stored_version = version;
        self.sent = None;
        self.history.keep_in(&self.stored);
    }

    /// What to do about the owners of the count, once it is in place.
    pub fn give_back(&self, now: Timestamp) -> Option<GiveBack> {
        let (KindState::Watched(kind), Some(target)) = (&self.kind, &self.target) else { return None };
        let newest = self.corrected.map_or(0, |(_, version)| version).max(self.given_back);
        let due = self.observation(now).plan() == Plan::Keep
            && target.resource_version >= newest
            && self.appliers.are_missing_in(&target.owners);
        due.then(|| GiveBack { kind: kind.clone(), appliers: self.appliers.recipients() })
    }

    /// How long giving back has to wait, after failures.
    pub fn give_back_pause(&self) -> Duration {
        self.give_back_failed.map_or(Duration::ZERO, |(_, at)| at.saturating_duration_since(Instant::now()))
    }

    /// How often it has failed in a row.
    pub fn give_back_failures(&self) -> u32 {
        self.give_back_failed.map_or(0, |(failures, _)| failures)
    }

    /// Records what became of it.
    pub fn note_given_back(&mut self, done: &GivenBack) {
        self.give_back_failed = match done {
            GivenBack::Done(version) => {
                // What is older says nothing of it, and the same version tells of owners that nothing was done about.
                self.given_back = version.saturating_add(1);
                None
            }
            GivenBack::Kept => None,
            GivenBack::Failed(_) => {
                let failures = self.give_back_failures().saturating_add(1);
                let pause = GIVE_BACK_PAUSE.saturating_mul(1 << failures.min(8)).min(GIVE_BACK_PAUSE_MAX);
                Some((failures, Instant::now() + pause))
            }
        };
    }

    /// Whether a fight was told of that is not over.
    pub fn is_contested(&self) -> bool {
        self.told.is_some()
    }

    /// The fight to tell of, if it was not told of yet.
    pub fn contest_to_tell(&mut self, now: Timestamp) -> Option<(&'static str, String)> {
        let contest = self.contested(now);
        if contest == self.told {
            return None;
        }
        self.told = contest;
        self.told.clone()
    }
}

/// The fight that a stored status tells of.
fn told(status: &ReplicaCountStatus) -> Option<(&'static str, String)> {
    let contested = status.conditions.iter().find(|one| one.type_ == CONTESTED && one.status == "True")?;
    let reason = [AUTOSCALED, REPEATED_DRIFT].into_iter().find(|reason| *reason == contested.reason)?;
    Some((reason, contested.message.clone()))
}

#[cfg(test)]
mod tests;
