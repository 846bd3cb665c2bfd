//! Writes that failed in a row, and the growing pause before the next attempt.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The bounds of the pause after a failed correction. It doubles with each failure, and jitter adds up to its length
/// again, so that many targets do not come back at once. An API server that comes back is used within twice the
/// maximum.
const CORRECTION_PAUSE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(2500));

/// The bounds of the pause after a failed patch of ownership. It doubles with each failure. The refusal may last, and
/// nothing but the next server-side apply suffers from it.
const OWNERSHIP_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5 * 60));

/// Writes that failed in a row.
#[derive(Debug)]
pub struct Failure {
    /// How many there were.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
    /// When to try again. Events do not make it sooner.
    pub retry_at: Instant,
    backoff: ExponentialBackoff,
}

impl Failure {
    /// The failures after one more, and when to try again.
    pub fn next(
        before: Option<Box<Self>>,
        error: &str,
        backoff: fn() -> ExponentialBackoff,
        now: Instant,
    ) -> Box<Self> {
        let first = || Box::new(Self { attempts: 0, error: String::new(), retry_at: now, backoff: backoff() });
        let mut failure = before.unwrap_or_else(first);
        failure.attempts = failure.attempts.saturating_add(1);
        failure.error = error.to_owned();
        failure.retry_at = now + failure.backoff.next().unwrap_or_default();
        failure
    }

    /// The time until the next attempt.
    pub fn pause(&self, now: Instant) -> Duration {
        self.retry_at.saturating_duration_since(now)
    }
}

/// The pauses after failed corrections.
pub fn correction_backoff() -> ExponentialBackoff {
    let (min, max) = CORRECTION_PAUSE;
    ExponentialBuilder::new().with_min_delay(min).with_max_delay(max).without_max_times().with_jitter().build()
}

/// The pauses after failed patches of ownership.
pub fn ownership_backoff() -> ExponentialBackoff {
    let (min, max) = OWNERSHIP_PAUSE;
    ExponentialBuilder::new().with_min_delay(min).with_max_delay(max).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_failures_double_up_to_their_bound() {
        let pauses: Vec<_> = correction_backoff().take(40).collect();
        let (min, max) = CORRECTION_PAUSE;
        assert!(pauses[0] >= min && pauses[0] <= 2 * min, "{:?}", pauses[0]);
        assert!(pauses[3] >= 8 * min && pauses[3] <= 16 * min, "{:?}", pauses[3]);
        assert!(pauses[10..].iter().all(|pause| *pause >= max && *pause <= 2 * max), "{pauses:?}");
        let pauses: Vec<_> = ownership_backoff().take(10).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
