//! What the answers to writes of statuses and of ownership change.

use super::Memory;
use crate::enforcement::{
    failure::{Failure, OWNERSHIP_PAUSES, STATUS_PAUSES},
    observation::Now,
    writes::{OwnershipAnswer, StatusAnswer},
};

/// How many statuses without an answer are remembered. Retries are seconds apart and most send the same status.
const MAX_UNANSWERED: usize = 4;

impl Memory {
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
                // At this version the owners are right, so only a later one can call for a give-back.
                self.owners_since = version.saturating_add(1);
                None
            }
            OwnershipAnswer::Outdated { version } => {
                // What this version shows is still to be decided about.
                self.owners_since = *version;
                None
            }
            OwnershipAnswer::Impossible => None,
            OwnershipAnswer::Failed { cause, error } => {
                let before = self.ownership_failure.as_deref();
                Some(Failure::next(before, *cause, error, &OWNERSHIP_PAUSES, now.monotonic))
            }
        };
    }
}
