//! Bounds the log lines about failures: thousands of objects may fail at once.

use std::{collections::HashMap, mem, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How many lines about failures of one sort there are within [`WINDOW`]. A person reads no more.
const MAX_LINES: u32 = 30;

/// How many of them are about objects of one namespace, if its editors can cause as many failures as they like: half of
/// them.
const MAX_OF_NAMESPACE: u32 = 15;

/// See [`MAX_LINES`].
const WINDOW: Duration = Duration::from_secs(60);

/// Decides which failures get a line of their own. One more line gives the number of the others: its owner waits for
/// [`Self::left_out`] beside its work.
#[derive(Debug, Default)]
pub struct FailureLog {
    window: Mutex<Window>,
    /// Says that a window has begun.
    begun: Notify,
}

/// The present window.
#[derive(Debug, Default)]
struct Window {
    /// When it began; `None` if nothing failed lately.
    since: Option<Instant>,
    lines: u32,
    of_namespaces: HashMap<String, u32>,
    left_out: u64,
}

impl FailureLog {
    /// Whether a failure gets a line. An object has one at its first failure, and then one whenever the number of its
    /// attempts has doubled.
    pub fn admits(&self, attempts: u32, now: Instant) -> bool {
        attempts.is_power_of_two() && self.admits_by(now, Window::admits)
    }

    /// As [`Self::admits`], for a failure that the editors of a namespace can cause at any time.
    pub fn admits_of(&self, namespace: &str, attempts: u32, now: Instant) -> bool {
        attempts.is_power_of_two() && self.admits_by(now, |window| window.admits_of(namespace))
    }

    fn admits_by(&self, now: Instant, admits: impl FnOnce(&mut Window) -> bool) -> bool {
        let mut window = self.window.lock();
        if window.since.is_none() {
            window.since = Some(now);
            self.begun.notify_one();
        }
        let is_admitted = admits(&mut window);
        window.left_out = window.left_out.saturating_add((!is_admitted).into());
        is_admitted
    }

    /// Waits for the end of a window in which lines were left out. Returns how many.
    pub async fn left_out(&self) -> u64 {
        loop {
            let since = self.window.lock().since;
            let Some(since) = since else {
                self.begun.notified().await;
                continue;
            };
            sleep_until(since + WINDOW).await;
            let ended = mem::take(&mut *self.window.lock());
            if ended.left_out > 0 {
                return ended.left_out;
            }
        }
    }
}

impl Window {
    fn admits(&mut self) -> bool {
        let has_room = self.lines < MAX_LINES;
        self.lines += u32::from(has_room);
        has_room
    }

    fn admits_of(&mut self, namespace: &str) -> bool {
        let lines = self.of_namespaces.get(namespace).copied().unwrap_or_default();
        let is_admitted = lines < MAX_OF_NAMESPACE && self.admits();
        if is_admitted {
            self.of_namespaces.insert(namespace.to_owned(), lines + 1);
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    /// How many of some failures get a line.
    fn lines(log: &FailureLog, failures: usize) -> usize {
        (0..failures).filter(|_| log.admits(1, Instant::now())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_about_failures_are_bounded_and_those_left_out_are_counted() {
        let (log, start) = (FailureLog::default(), Instant::now());
        let flood = async {
            // The owner waits before anything has failed.
            sleep(WINDOW).await;
            lines(&log, 1000)
        };
        assert_eq!(tokio::join!(log.left_out(), flood), (970, 30));
        assert!(start.elapsed() < 3 * WINDOW, "no further failure is needed");
        assert_eq!(lines(&log, 30), 30, "the next window");
        assert!(timeout(10 * WINDOW, log.left_out()).await.is_err(), "nothing was left out");
        assert_eq!(lines(&log, 31), 30, "the one after it");
        assert_eq!(log.left_out().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_has_half_of_the_lines() {
        let (log, now) = (FailureLog::default(), Instant::now());
        let of = |namespace: &str| (0..100).filter(|_| log.admits_of(namespace, 1, now)).count();
        assert_eq!(["hostile", "shop", "bank"].map(of), [15, 15, 0]);
        assert_eq!(log.left_out().await, 270);
        assert_eq!(of("hostile"), 15, "the next window");
    }

    #[test]
    fn an_object_that_keeps_failing_has_ever_fewer_lines() {
        let (log, now) = (FailureLog::default(), Instant::now());
        let lines: Vec<_> = (1..=100).filter(|attempts| log.admits(*attempts, now)).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64]);
    }
}
