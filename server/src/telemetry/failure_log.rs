//! Bounds the log lines about failures: thousands of objects may fail at once.

use std::time::Duration;

use tokio::time::Instant;

/// How many lines about failures of one sort there are within [`WINDOW`]. A person reads no more.
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
    /// Whether a failure gets a line. An object has one at its first failure, and then one whenever the number of its
    /// attempts has doubled.
    pub fn admits(&mut self, attempts: u32, now: Instant) -> bool {
        if !attempts.is_power_of_two() {
            return false;
        }
        if self.lines == MAX_LINES {
            self.leave_out(now);
            return false;
        }
        self.since.get_or_insert(now);
        self.lines += 1;
        true
    }

    /// Counts a failure that gets no line for another reason.
    pub fn leave_out(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.left_out = self.left_out.saturating_add(1);
    }

    /// When the present window ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.since.map(|since| since + WINDOW)
    }

    /// Whether the present window has ended.
    pub fn has_ended(&self, now: Instant) -> bool {
        self.ends_at().is_some_and(|end| end <= now)
    }

    /// Begins the next window if the present one has ended. Returns how many lines were left out in it, if any were.
    pub fn begin_window(&mut self, now: Instant) -> Option<u64> {
        if !self.has_ended(now) {
            return None;
        }
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
        log.leave_out(now);
        let later = now + WINDOW;
        assert_eq!(log.begin_window(later - Duration::from_millis(1)), None, "it lasts still");
        assert_eq!(log.begin_window(later), Some(971));
        assert!(log.admits(1, later), "the next window");
        assert_eq!(log.begin_window(later + WINDOW), None, "nothing was left out");
    }

    #[test]
    fn an_object_that_keeps_failing_has_ever_fewer_lines() {
        let (mut log, now) = (FailureLog::default(), Instant::now());
        let lines: Vec<_> = (1..=100).filter(|attempts| log.admits(*attempts, now)).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64]);
    }
}
