//! Attempts to change a count that no status shows yet.

use std::time::Duration;

use tokio::time::Instant;

use crate::resources::Attempt;

/// How far apart reports of one target's attempts are. A program can try to change a count many times in a second, and
/// each report is a write of the status and an Event.
const PACE: Duration = Duration::from_secs(10);

/// How far apart equal attempts are at least. The API server asks again about a write that another webhook has changed or
/// that met a conflict.
const REPEATED: Duration = Duration::from_secs(1);

/// Attempts to change a count that no status shows yet. Few targets have any, so they are boxed.
#[derive(Debug, Default)]
pub struct PendingAttempts {
    number: i64,
    last: Option<Box<Attempt>>,
    /// The desired count at the latest attempt, in replicas.
    held: Option<i32>,
    /// The attempt that was added last, even if a status shows it.
    counted: Option<Box<Attempt>>,
    /// When the latest report was.
    reported: Option<Instant>,
}

impl PendingAttempts {
    /// Whether an attempt is the one that was added last, which was reviewed again.
    pub fn is_repeated(&self, attempt: &Attempt) -> bool {
        self.counted.as_ref().is_some_and(|counted| {
            let apart = attempt.at.0.duration_since(counted.at.0).unsigned_abs();
            apart < REPEATED
                && (&counted.user, counted.from, counted.to, &counted.verdict)
                    == (&attempt.user, attempt.from, attempt.to, &attempt.verdict)
        })
    }

    /// The count that stayed in place at the latest attempt, in replicas. Another one may be desired by now.
    pub fn held(&self) -> Option<i32> {
        self.held
    }

    /// Adds an attempt to change the count that is held.
    pub(super) fn add(&mut self, attempt: Attempt, held: Option<i32>) {
        self.number = self.number.saturating_add(1);
        self.held = held;
        self.counted = Some(Box::new(attempt.clone()));
        self.last = Some(Box::new(attempt));
    }

    /// The attempts, if they are to be reported now: how many, and the latest.
    pub fn due(&self, now: Instant) -> Option<(i64, Attempt)> {
        let last = self.last.as_deref().filter(|_| self.pause(now).is_zero())?;
        Some((self.number, last.clone()))
    }

    /// Whether each is reported.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Lets them be reported now, however soon after the report before.
    pub(super) fn hurry(&mut self) {
        self.reported = None;
    }

    /// The time until they are to be reported. `None` if there are none, or if it is now.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.last.as_ref().map(|_| self.pause(now)).filter(|pause| !pause.is_zero())
    }

    /// Forgets the attempts, because they are reported.
    pub(super) fn reported(&mut self, now: Instant) {
        *self = Self { reported: Some(now), counted: self.counted.take(), ..Self::default() };
    }

    fn pause(&self, now: Instant) -> Duration {
        self.reported.map_or(Duration::ZERO, |reported| PACE.saturating_sub(now.saturating_duration_since(reported)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    #[test]
    fn an_attempt_that_is_reviewed_again_is_one() {
        let attempt = |ms| Attempt {
            user: "bob".into(),
            manager: "".into(),
            from: Some(3),
            to: Some(7),
            at: MicroTime(Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms)),
            verdict: "kept".into(),
        };
        for (name, next, expected) in [
            ("at once", attempt(0), true),
            ("within a second", attempt(999), true),
            ("a second later", attempt(1000), false),
            ("by another user", Attempt { user: "carol".into(), ..attempt(0) }, false),
            ("to another count", Attempt { to: Some(8), ..attempt(0) }, false),
            ("from another count", Attempt { from: None, ..attempt(0) }, false),
            ("refused instead", Attempt { verdict: "denied".into(), ..attempt(0) }, false),
        ] {
            let mut attempts = PendingAttempts::default();
            assert!(!attempts.is_repeated(&next), "{name}: the first");
            attempts.add(attempt(0), Some(3));
            assert_eq!(attempts.is_repeated(&next), expected, "{name}");
            attempts.reported(Instant::now());
            assert_eq!(attempts.is_repeated(&next), expected, "{name}, after the report");
        }
    }
}
