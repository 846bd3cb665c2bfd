//! Bounds the log lines about failed writes: thousands of targets may fail at once.

use std::time::Duration;

use tokio::time::Instant;

/// How many lines about failed writes there are within [`WINDOW`]. A person reads no more, and the metrics count all.
const MAX_LINES: u32 = 30;

/// See [`MAX_LINES`].
const WINDOW: Duration = Duration::from_secs(60);

/// Decides which failures get a line of their own. One more line gives the number of the others.
#[derive(Debug, Default)]
pub struct FailureLog {
    /// When the present window began; `None` if nothing failed lately.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl FailureLog {
    /// Whether a failure gets a line. A target has one at its first failure, and then one whenever the number of its
    /// attempts has doubled.
    pub fn admits(&mut self, attempts: u32, now: Instant) -> bool {
        if !attempts.is_power_of_two() {
            return false;
        }
        self.since.get_or_insert(now);
        if self.lines == MAX_LINES {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.lines += 1;
        true
    }

    /// When the present window ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.since.map(|since| since + WINDOW)
    }

    /// Begins the next window. Returns how many lines were left out in the last one, if any were.
    pub fn begin_window(&mut self) -> Option<u64> {
        let left_out = std::mem::take(self).left_out;
        (left_out > 0).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_failures_are_bounded_and_those_left_out_are_counted() {
        let (mut log, now) = (FailureLog::default(), Instant::now());
        assert_eq!(log.ends_at(), None);
        let admitted = (0..1000).filter(|_| log.admits(1, now)).count();
        assert_eq!((admitted, log.ends_at()), (30, Some(now + WINDOW)));
        assert_eq!(log.begin_window(), Some(970));
        assert!(log.admits(1, now), "the next window");
        assert_eq!(log.begin_window(), None, "nothing was left out");
    }

    #[test]
    fn a_target_that_keeps_failing_has_ever_fewer_lines() {
        let (mut log, now) = (FailureLog::default(), Instant::now());
        let lines: Vec<_> = (1..=100).filter(|attempts| log.admits(*attempts, now)).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64]);
    }
}
