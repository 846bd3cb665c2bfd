//! The pauses after the failures of a watch.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::{utils::Backoff, watcher::ExponentialBackoff};
use tokio::time::Instant;

/// The first pause after a failure. It is short, because drift is not corrected during it.
const MIN: Duration = Duration::from_millis(100);

/// The longest pause after a failure, without its jitter, which at most doubles it. So the server uses the API server
/// again within 5 s of its return.
const MAX: Duration = Duration::from_millis(2_500);

/// How long a watch must work until its next failure counts as the first. The list of a large cluster takes less, so a
/// watch that fails after each list does not list without a pause.
const FORGET: Duration = Duration::from_secs(30);

/// Pauses that grow with each failure in a row.
///
/// kube resets the pauses with each event, and its watcher sends one before each list. So a reset changes nothing here.
pub(super) struct WatchBackoff {
    pauses: ExponentialBackoff,
    /// When the last pause ends.
    ends: Option<Instant>,
}

impl Default for WatchBackoff {
    fn default() -> Self {
        let pauses =
            ExponentialBuilder::new().with_min_delay(MIN).with_max_delay(MAX).with_jitter().without_max_times();
        Self { pauses: pauses.into(), ends: None }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.ends.is_some_and(|ends| now.saturating_duration_since(ends) > FORGET) {
            self.pauses.reset();
        }
        let pause = self.pauses.next()?;
        self.ends = Some(now + pause);
        Some(pause)
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_the_watch_has_worked_for_a_while() {
        let mut backoff = WatchBackoff::default();
        let first = backoff.next().unwrap();
        assert!(first >= MIN && first <= 2 * MIN, "{first:?}");
        for (name, works, is_grown) in [
            ("fails at once", Duration::ZERO, true),
            ("fails after a list", FORGET / 2, true),
            ("has worked", FORGET + Duration::from_secs(1), false),
        ] {
            for _ in 0..10 {
                let pause = backoff.next().unwrap();
                sleep(pause).await;
                backoff.reset();
            }
            sleep(works).await;
            let pause = backoff.next().unwrap();
            let range = if is_grown { MAX..=2 * MAX } else { MIN..=2 * MIN };
            assert!(range.contains(&pause), "{name}: {pause:?}");
        }
    }
}
