//! Starts the writes that are due, and takes in their answers.

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Answered, Executor};
use crate::{
    enforcement::{
        announced::Announced,
        decision::Correction,
        lane::Lane,
        memory::{Record, Started},
        observation::Now,
        pace::yielding,
        targets::ManagedTarget,
        workqueue::WorkQueue,
        writes::{CorrectionAnswer, Regarding, StatusAnswer, end_event, event_writes},
    },
    resources::TargetKey,
};

/// From this many failed attempts on, a status write gets a line in the log: about 35 s after the first failure if the
/// API server is away, and a minute after the first conflict. If the failure is about the target itself, the first
/// attempt gets a line.
const LASTING: u32 = 8;

impl Executor {
    /// Starts as many writes as may be under way, corrections first.
    pub(super) fn start_writes(&mut self) {
        while let Some((key, lane)) = self.corrections.take(|_| true) {
            self.start_correction(key, lane);
        }
        self.metrics.queue.set(self.corrections.len(), self.corrections.oldest());
        self.start_statuses();
        self.start_announcements();
        self.start_give_backs();
        self.start_probes();
    }

    /// Starts as many status writes as may be under way. A target that is being corrected waits, so that one status
    /// shows the drift and its end.
    pub(super) fn start_statuses(&mut self) {
        while self.has_room_beside_corrections(&self.statuses)
            && let Some((key, lane)) = self.statuses.take(|key| !self.corrections.is_at_pace(key))
        {
            self.start_status(key, lane);
        }
    }

    /// Whether the corrections leave room for one more write of another queue.
    pub(super) fn has_room_beside_corrections<T: Send + 'static>(&self, queue: &WorkQueue<T>) -> bool {
        queue.in_flight() < yielding(self.corrections.at_pace(), queue.oldest(), usize::MAX)
    }

    fn start_correction(&mut self, key: TargetKey, lane: Lane) {
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
        self.corrections.start(key, lane, self.term.clone().guard(work));
    }

    pub(super) fn take_correction(&mut self, (key, (uid, answer)): (TargetKey, Answered<CorrectionAnswer>)) {
        let now = Now::read();
        match &answer {
            CorrectionAnswer::Scaled { to, stored, .. } if to != stored => {
                self.metrics.corrections_changed.inc();
            }
            CorrectionAnswer::Scaled { to, version, .. } => {
                self.metrics.corrections.inc();
                debug!(target = %key, to, version, "scaled");
            }
            CorrectionAnswer::Unset | CorrectionAnswer::Outdated { .. } => {}
            CorrectionAnswer::Failed { .. } => {
                self.metrics.correction_failures.inc();
            }
        }
        if let Some(mut ended) = self.unanswered_ends.remove(&key) {
            ended.memory.record(Record::Correction(&answer), now);
            self.announce_end(key.clone(), ended);
            return self.end_late_correction(key);
        }
        let Some(target) = self.targets.answered(&key, &uid) else { return self.end_late_correction(key) };
        target.memory.record(Record::Correction(&answer), now);
        if let Some(failure) = &target.memory.correction_failure {
            let (error, attempts, pause) = (&failure.error, failure.attempts, failure.pause(now.monotonic));
            if self.failures.admits(attempts, now.monotonic) {
                let pause_ms = pause.as_millis() as u64;
                warn!(target = %key, error, attempts, pause_ms, "correction failed, trying again");
            }
        }
        self.reconcile(key, now);
    }

    fn start_status(&mut self, key: TargetKey, lane: Lane) {
        let Some(target) = self.targets.get_mut(&key) else { return };
        let now = Now::read();
        let pause = target.memory.status_pause(now);
        if !pause.is_zero() {
            return self.statuses.add_after(key, lane, pause);
        }
        let Some(write) = target.status_to_write(now.wall) else { return };
        let (writer, target_key, uid) = (self.status_writer.clone(), key.clone(), target.observation.count.uid.clone());
        let work = async move { (uid, writer.write(&target_key, write).await) };
        self.statuses.start(key, lane, self.term.clone().guard(work));
    }

    pub(super) fn take_status(&mut self, (key, (uid, answer)): (TargetKey, Answered<StatusAnswer>)) {
        let Some(target) = self.targets.answered(&key, &uid) else { return };
        let now = Now::read();
        let is_refused = matches!(answer, StatusAnswer::Refused { .. });
        target.memory.record(Record::Status(answer), now);
        if let Some(failure) = target.memory.status_failure.as_ref().filter(|_| !is_refused) {
            let (error, attempts, pause) = (&failure.error, failure.attempts, failure.pause(now.monotonic));
            self.metrics.status_failures.inc();
            let is_lasting = failure.cause.is_of_target() || failure.attempts >= LASTING;
            if is_lasting && self.failures.admits(attempts, now.monotonic) {
                let pause_ms = pause.as_millis() as u64;
                warn!(target = %key, error, attempts, pause_ms, "status not stored, trying again");
            } else {
                debug!(target = %key, error, attempts, "status not stored, trying again");
            }
            self.statuses.add_after(key, target.memory.status_lane(), pause);
            return;
        }
        let (changed, conflict) = (target.memory.changed_statuses, target.memory.status_conflict.as_ref());
        if is_refused {
            let conflicts = conflict.map_or(0, |conflict| conflict.attempts);
            if conflicts >= LASTING && self.failures.admits(conflicts, now.monotonic) {
                warn!(target = %key, attempts = conflicts, "status not stored, trying again: others keep writing the ReplicaCount");
            }
            self.reconcile(key, now);
        } else if changed > 0 {
            self.metrics.status_failures.inc();
            if self.failures.admits(changed, now.monotonic) {
                warn!(target = %key, times = changed, "another status was stored than was sent: a webhook changes it, or \
                    the CRD is older than this server");
            }
        }
    }

    /// Starts as many writes of Events as may be under way.
    pub(super) fn start_announcements(&mut self) {
        while self.has_room_beside_corrections(&self.announcements)
            && let Some((key, lane)) = self.announcements.take(|_| true)
        {
            self.start_announcement(key, lane);
        }
    }

    /// Queues the Event about the end of a target's management. Without a target, there is nothing to describe.
    pub(super) fn announce_end(&mut self, key: TargetKey, known: ManagedTarget) {
        if known.observation.target.as_ref().is_none_or(|target| target.deleting) {
            return;
        }
        if matches!(known.memory.correcting, Some(Started::Scale(_))) {
            self.unanswered_ends.insert(key, known);
            return;
        }
        let regarding = Regarding::of(&key, &known.observation);
        let write = end_event(&known.observation, &known.memory, Now::read());
        self.ends.insert(key.clone(), (regarding, vec![write]));
        self.announcements.add(key, Lane::Healthy);
    }

    fn start_announcement(&mut self, key: TargetKey, lane: Lane) {
        if let Some((regarding, writes)) = self.ends.remove(&key) {
            let (announcer, target_key) = (self.announcer.clone(), key.clone());
            let work = async move { announcer.announce(&target_key, &regarding, writes).await };
            self.announcements.start(key.clone(), lane, self.term.clone().guard(work));
            if self.events.contains_key(&key) {
                // The target is managed again. Its Events follow.
                self.announcements.add(key, lane);
            }
            return;
        }
        let Some((regarding, events)) = self.events.remove(&key) else { return };
        let Some(target) = self.targets.get_mut(&key) else { return };
        let now = Now::read();
        let announced = target.announced.get_or_insert_with(|| Box::new(Announced::new(now)));
        let writes = event_writes(events, announced, now);
        if writes.is_empty() {
            return;
        }
        let (announcer, target_key) = (self.announcer.clone(), key.clone());
        let work = async move { announcer.announce(&target_key, &regarding, writes).await };
        self.announcements.start(key, lane, self.term.clone().guard(work));
    }

    pub(super) fn take_announcement(&mut self, (key, is_written): (TargetKey, bool)) {
        if !is_written {
            self.metrics.event_failures.inc();
        }
        let Some(announced) = self.targets.get_mut(&key).and_then(|target| target.announced.as_mut()) else { return };
        let was_failing = std::mem::replace(&mut announced.is_failing, !is_written);
        if announced.is_failing && !was_failing && self.failures.admits(1, Instant::now()) {
            warn!(target = %key, "events not written, and not tried again: the status of the ReplicaCount holds the \
                same facts");
        }
    }
}
