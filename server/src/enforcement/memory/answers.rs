//! What the answers to writes change.

use std::sync::Arc;

use super::Memory;
use crate::{
    enforcement::{
        appliers::Appliers,
        assessment::LastCorrection,
        changed_count::ChangedCount,
        failure::{CORRECTION_PAUSES, Cause, Failure, OWNERSHIP_PAUSES, STATUS_PAUSES},
        history::History,
        observation::Now,
        writes::{CorrectionAnswer, OwnershipAnswer, StatusAnswer},
    },
    resources::ReplicaCountStatus,
};

/// How many statuses without an answer are remembered. Retries are seconds apart and most send the same status.
const MAX_UNANSWERED: usize = 4;

impl Memory {
    pub(super) fn record_correction(&mut self, answer: &CorrectionAnswer, now: Now) {
        self.correcting = None;
        match answer {
            CorrectionAnswer::Scaled { to, stored, version, was_changed } => {
                self.last_correction = Some(LastCorrection { to: *stored, version: *version });
                if *was_changed || stored != to {
                    self.contention.add_correction(now.wall);
                }
                if stored == to {
                    self.correction_failure = None;
                    self.changed_count = None;
                    self.is_failing = false;
                } else {
                    let changed = ChangedCount::after(self.changed_count, *to, *stored, *version);
                    let (before, error) = (self.correction_failure.as_deref(), changed.message());
                    let failure = Failure::next(before, Cause::Changed, &error, &CORRECTION_PAUSES, now.monotonic);
                    self.changed_count = Some(changed);
                    self.correction_failure = Some(failure);
                    self.is_failing = true;
                }
            }
            CorrectionAnswer::Unset => self.is_unset = true,
            CorrectionAnswer::Outdated { version } => self.outdated_version = *version,
            CorrectionAnswer::Failed { cause, error, retry_after } => {
                let before = self.correction_failure.as_deref();
                let mut failure = Failure::next(before, *cause, error, &CORRECTION_PAUSES, now.monotonic);
                if let Some(pause) = retry_after {
                    let retry_at = now.monotonic + *pause;
                    // A webhook's denial may ask for a retry as well, and must not shorten the pause.
                    failure.retry_at = if cause.is_of_target() { failure.retry_at.max(retry_at) } else { retry_at };
                }
                self.is_failing |= cause.is_of_target();
                self.correction_failure = Some(failure);
            }
        }
    }

    pub(super) fn record_status(&mut self, answer: StatusAnswer, now: Now) {
        match answer {
            StatusAnswer::Stored { status, version, was_changed } => {
                self.status_failure = None;
                self.changed_statuses = if was_changed { self.changed_statuses.saturating_add(1) } else { 0 };
                self.adopt(status, version);
                self.history.share(&self.stored);
            }
            StatusAnswer::Refused { status, version } => {
                // Another server wrote, or our own write got no answer.
                self.record_conflict(now);
                let is_ours = self.unanswered.contains(&status);
                let is_known = is_ours || *status == *self.stored;
                self.adopt(status, version);
                if is_known {
                    self.history.share(&self.stored);
                } else {
                    self.take_over();
                }
            }
            StatusAnswer::Failed { cause, error, status } => {
                let before = self.status_failure.as_deref();
                self.status_failure = Some(Failure::next(before, cause, &error, &STATUS_PAUSES, now.monotonic));
                self.unanswered.extend(status.filter(|status| !self.unanswered.contains(status)));
                let surplus = self.unanswered.len().saturating_sub(MAX_UNANSWERED);
                self.unanswered.drain(..surplus);
            }
            StatusAnswer::Gone => {}
        }
    }

    pub(super) fn record_ownership(&mut self, answer: &OwnershipAnswer, now: Now) {
        self.ownership_failure = match answer {
            OwnershipAnswer::Given { version } => {
                self.owners_right_at = Some(*version);
                None
            }
            OwnershipAnswer::Outdated { version } => {
                self.owners_outdated_at = *version;
                None
            }
            OwnershipAnswer::Gone | OwnershipAnswer::Forbidden => None,
            OwnershipAnswer::Failed { cause, error } => {
                let before = self.ownership_failure.as_deref();
                Some(Failure::next(before, *cause, error, &OWNERSHIP_PAUSES, now.monotonic))
            }
        };
    }

    fn adopt(&mut self, status: Arc<ReplicaCountStatus>, version: u64) {
        self.stored = status;
        self.stored_version = version;
        self.unanswered.clear();
    }

    /// Goes on where another server stopped.
    fn take_over(&mut self) {
        self.history = History::of(&self.stored);
        let over = self.spec.as_ref().and_then(|spec| spec.override_.as_ref());
        let is_overridden = over.is_some_and(|over| self.desired == Some(over.replicas));
        if self.stored.observed_generation.is_some() && self.stored.observed_generation != self.generation {
            // The other server's history ends with another spec. The next decision compares with that one.
            self.generation = self.stored.observed_generation;
            self.spec = self.stored.observed_spec.clone();
            self.desired = self.stored.desired;
        } else if self.stored.observed_generation.is_some() && is_overridden {
            // The other server may have ended the override of the same spec.
            self.desired = self.stored.desired;
        }
        self.contention.take_over(&self.stored);
        if !self.stored.appliers.iter().map(String::as_str).eq(self.appliers.names()) {
            self.appliers = Appliers::of(&self.stored);
        }
    }
}
