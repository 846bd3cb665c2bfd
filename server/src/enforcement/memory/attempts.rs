//! Attempts to change a count that no status shows yet.

use std::time::Duration;

use tokio::time::Instant;

use crate::resources::Attempt;

/// How far apart reports of one target's attempts are. A program can try to change a count many times in a second, and
/// each report is a write of the status and an Event.
const PACE: Duration = Duration::from_secs(10);

/// Attempts to change a count that no status shows yet.
#[derive(Debug, Default)]
pub struct PendingAttempts {
    number: i64,
    last: Option<Attempt>,
    /// When the latest report was.
    reported: Option<Instant>,
}

impl PendingAttempts {
    /// Adds an attempt.
    pub(super) fn add(&mut self, attempt: Attempt) {
        self.number = self.number.saturating_add(1);
        self.last = Some(attempt);
    }

    /// The attempts, if they are to be reported now: how many, and the latest.
    pub fn due(&self, now: Instant) -> Option<(i64, Attempt)> {
        let last = self.last.clone().filter(|_| self.pause(now).is_zero())?;
        Some((self.number, last))
    }

    /// The time until they are to be reported. `None` if there are none, or if it is now.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.last.as_ref().map(|_| self.pause(now)).filter(|pause| !pause.is_zero())
    }

    /// Forgets the attempts, because they are reported.
    pub(super) fn reported(&mut self, now: Instant) {
        *self = Self { reported: Some(now), ..Self::default() };
    }

    fn pause(&self, now: Instant) -> Duration {
        self.reported.map_or(Duration::ZERO, |reported| PACE.saturating_sub(now.saturating_duration_since(reported)))
    }
}
