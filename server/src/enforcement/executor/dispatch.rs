//! Starts the writes that are due, and takes in their answers.

use std::time::Duration;

use tracing::{debug, warn};

use super::{Answered, Executor};
use crate::{
    enforcement::{
        decision::Correction,
        memory::{Record, Started},
        observation::Now,
        pace::{MAX_CORRECTIONS, MAX_IN_FLIGHT, MAX_OWNERSHIP, MAX_STATUSES, yielding},
        workqueue::WorkQueue,
        writes::{CorrectionAnswer, OwnershipAnswer, Regarding, StatusAnswer},
    },
    resources::TargetKey,
};

/// The pause after a failed status write: a status may be late, and must not be in the way.
const STATUS_RETRY: Duration = Duration::from_secs(5);

impl Executor {
    /// Starts as many writes as may be under way, corrections first.
    pub(super) fn start_writes(&mut self) {
        while self.corrections.in_flight() < MAX_IN_FLIGHT
            && self.corrections.at_pace() < MAX_CORRECTIONS
            && let Some(key) = self.corrections.take(|_| true)
        {
            self.start_correction(key);
        }
        self.metrics.queue.set(self.corrections.len(), self.corrections.oldest());
        self.start_statuses();
        while self.ownership.in_flight() < self.yielding(&self.ownership, MAX_OWNERSHIP)
            && let Some(key) = self.ownership.take(|_| true)
        {
            self.start_ownership(key);
        }
    }

    /// Starts as many status writes as may be under way. A target that is being corrected waits, so that one status
    /// shows the drift and its end.
    pub(super) fn start_statuses(&mut self) {
        while self.statuses.in_flight() < self.yielding(&self.statuses, MAX_STATUSES)
            && let Some(key) = self.statuses.take(|key| !self.corrections.is_at_pace(key))
        {
            self.start_status(key);
        }
    }

    /// How many writes of a queue may be under way beside the corrections.
    fn yielding<T: Send + 'static>(&self, queue: &WorkQueue<T>, most: usize) -> usize {
        yielding(self.corrections.at_pace(), queue.oldest(), most)
    }

    fn start_correction(&mut self, key: TargetKey) {
        let Some(target) = self.targets.get_mut(&key) else { return };
        // A later decision may have found that there is nothing to correct.
        let Some(correction) = target.correct.take() else { return };
        let started = match correction {
            Correction::Scale { to, .. } => Started::Scale(to),
            Correction::Unset { .. } => Started::Unset,
        };
        target.memory.record(Record::CorrectionStarted(started), Now::read());
        let (corrector, target_key, uid) = (self.corrector.clone(), key.clone(), target.observation.count.uid.clone());
        let work = async move { (uid, corrector.write(&target_key, correction).await) };
        self.corrections.start(key, self.term.clone().guard(work));
    }

    pub(super) fn take_correction(&mut self, (key, (uid, answer)): (TargetKey, Answered<CorrectionAnswer>)) {
        let now = Now::read();
        match &answer {
            CorrectionAnswer::Scaled { to, version, .. } => {
                self.metrics.corrections.inc();
                debug!(target = %key, to, version, "scaled");
            }
            CorrectionAnswer::Unset => {}
            CorrectionAnswer::Failed { .. } => {
                self.metrics.correction_failures.inc();
            }
        }
        let Some(target) = self.targets.answered(&key, &uid) else { return };
        target.memory.record(Record::Correction(&answer), now);
        if let Some(failure) = &target.memory.correction_failure {
            let (error, attempts, pause) = (&failure.error, failure.attempts, failure.pause(now.monotonic));
            warn!(target = %key, error, attempts, pause_ms = pause.as_millis() as u64, "correction failed, trying again");
        }
        self.reconcile(key, now);
    }

    fn start_status(&mut self, key: TargetKey) {
        let events = self.events.remove(&key).unwrap_or_default();
        let Some(target) = self.targets.get_mut(&key) else { return };
        let write = target.status_to_write(Now::read().wall);
        if write.is_none() && events.is_empty() {
            return;
        }
        let (regarding, uid) = (Regarding::of(&key, &target.observation), target.observation.count.uid.clone());
        let (announcer, writer, target_key) = (self.announcer.clone(), self.status_writer.clone(), key.clone());
        let work = async move {
            announcer.announce(&target_key, &regarding, events).await;
            match write {
                Some(write) => (uid, Some(writer.write(&target_key, write).await)),
                None => (uid, None),
            }
        };
        self.statuses.start(key, self.term.clone().guard(work));
    }

    pub(super) fn take_status(&mut self, (key, (uid, answer)): (TargetKey, Answered<Option<StatusAnswer>>)) {
        let (Some(answer), Some(target)) = (answer, self.targets.answered(&key, &uid)) else { return };
        let now = Now::read();
        let is_failed = matches!(answer, StatusAnswer::Failed { .. });
        let is_refused = matches!(answer, StatusAnswer::Refused { .. });
        target.memory.record(Record::Status(answer), now);
        if is_failed {
            self.statuses.add_after(key, STATUS_RETRY);
        } else if is_refused {
            self.reconcile(key, now);
        }
    }

    fn start_ownership(&mut self, key: TargetKey) {
        // Since the decision, the right may have turned out to be missing, or a failure may have set a pause.
        let Some(patcher) = self.ownership_patcher.clone().filter(|patcher| patcher.is_allowed(&key.kind)) else {
            return;
        };
        let Some(target) = self.targets.get_mut(&key) else { return };
        let pause = target.memory.ownership_pause(Now::read());
        if !pause.is_zero() {
            return self.ownership.add_after(key, pause);
        }
        let Some(give_back) = target.give_back.take() else { return };
        let (target_key, uid) = (key.clone(), target.observation.count.uid.clone());
        let work = async move { (uid, patcher.give_back(&target_key, &give_back).await) };
        self.ownership.start(key, self.term.clone().guard(work));
    }

    pub(super) fn take_ownership(&mut self, (key, (uid, answer)): (TargetKey, Answered<OwnershipAnswer>)) {
        let Some(target) = self.targets.answered(&key, &uid) else { return };
        let now = Now::read();
        target.memory.record(Record::Ownership(&answer), now);
        if let Some(failure) = target.memory.ownership_failure.as_ref().filter(|failure| failure.attempts == 1) {
            warn!(target = %key, error = failure.error, "ownership not given back: server-side applies of other counts may \
                meet a conflict; trying again");
        }
        // Without the target or the right there is nothing to decide until an event shows more.
        if !matches!(answer, OwnershipAnswer::Impossible) {
            self.reconcile(key, now);
        }
    }
}
