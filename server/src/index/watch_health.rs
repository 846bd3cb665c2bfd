//! Which watches fail, and for how long.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{watch_deadlines::SHORT_SILENCE, watch_source::WatchSource};

/// How long a watch can fail before its kind is reported as failing. This is longer than a restart of the API server
/// takes.
const FAILING: Duration = Duration::from_secs(20);

/// How long a watch must stay open without a failure until it counts as working. A watch that fails at its first event
/// does not reach it, and neither does one that is opened again and again and says nothing. The time counts from the
/// opening, so the pause between two attempts (at most 5 s, `watch_backoff`) does not count.
const SETTLED: Duration = SHORT_SILENCE.saturating_add(Duration::from_secs(2));

/// Which watches fail, and for how long.
#[derive(Default)]
pub(super) struct WatchHealth {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    streaks: BTreeMap<WatchSource, Streak>,
    /// Since when the `ReplicaCount` objects can be watched. While they cannot, the API server itself is in trouble.
    reachable: Option<Instant>,
}

/// A streak of failures.
struct Streak {
    since: Instant,
    last: Instant,
    opened: Option<Instant>,
    error: String,
}

/// A watch that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailingWatch {
    /// How long it has been failing.
    pub(super) lasting: Duration,
    /// Whether that is long enough to report, and not a part of an outage of the API server.
    pub(super) is_reported: bool,
    /// The latest error.
    pub(super) error: String,
}

impl WatchHealth {
    /// Records a failure.
    pub(super) fn record_failure(&self, source: &WatchSource, error: &str) {
        let now = Instant::now();
        let mut state = self.state.lock();
        // If the watch has worked in between, this failure begins a new streak.
        state.end_settled(now);
        let new = || Streak { since: now, last: now, opened: None, error: String::new() };
        let streak = state.streaks.entry(source.clone()).or_insert_with(new);
        (streak.last, streak.error) = (now, error.to_owned());
    }

    /// Records that the API server has opened the watch.
    pub(super) fn record_opened(&self, source: &WatchSource) {
        if let Some(streak) = self.state.lock().streaks.get_mut(source) {
            streak.opened = Some(Instant::now());
        }
    }

    /// Ends a streak: a list is complete, or the watch is given up.
    pub(super) fn clear(&self, source: &WatchSource) {
        self.state.lock().streaks.remove(source);
    }

    /// The watches that fail at this moment.
    pub(super) fn review(&self, now: Instant) -> BTreeMap<WatchSource, FailingWatch> {
        let mut state = self.state.lock();
        state.end_settled(now);
        let is_outage = state.streaks.contains_key(&WatchSource::ReplicaCounts);
        let reachable = if is_outage { None } else { Some(state.reachable.unwrap_or(now)) };
        state.reachable = reachable;
        let failing = |streak: &Streak| FailingWatch {
            lasting: now.saturating_duration_since(streak.since),
            is_reported: reachable
                .is_some_and(|since| now.saturating_duration_since(since.max(streak.since)) > FAILING),
            error: streak.error.clone(),
        };
        state.streaks.iter().map(|(source, streak)| (source.clone(), failing(streak))).collect()
    }

    /// Whether a watch fails.
    pub(super) fn is_failing(&self, source: &WatchSource) -> bool {
        self.state.lock().streaks.contains_key(source)
    }
}

impl State {
    fn end_settled(&mut self, now: Instant) {
        self.streaks.retain(|_, streak| {
            let opened = streak.opened.filter(|opened| *opened > streak.last);
            opened.is_none_or(|opened| now.saturating_duration_since(opened) < SETTLED)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::GroupKind;

    #[test]
    fn a_watch_fails_from_its_first_failure_until_it_works() {
        let health = WatchHealth::default();
        let widgets = WatchSource::Targets(GroupKind::new("Widget", "example.com"));
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(health.review(at(0)).is_empty());
        health.record_failure(&widgets, "no");
        let reported = |seconds| health.review(at(seconds)).get(&widgets).map(|failing| failing.is_reported);
        assert_eq!((reported(0), reported(19), reported(21)), (Some(false), Some(false), Some(true)));

        health.record_opened(&widgets);
        assert_eq!(reported(9), Some(false), "a watch that has just been opened may fail again");
        let silent = reported(SHORT_SILENCE.as_secs());
        assert_eq!(silent, Some(false), "one that says nothing fails only now, and has not worked until then");
        health.record_failure(&widgets, "again");
        assert_eq!(reported(60), Some(true), "it did");
        health.record_opened(&widgets);
        assert_eq!(reported(SETTLED.as_secs()), None, "it works");

        health.record_failure(&widgets, "no");
        health.clear(&widgets);
        assert_eq!(reported(60), None, "a list is complete");
    }

    #[test]
    fn an_outage_of_the_api_server_is_not_reported_for_each_kind() {
        let health = WatchHealth::default();
        let widgets = WatchSource::Targets(GroupKind::new("Widget", "example.com"));
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        for source in [&widgets, &WatchSource::ReplicaCounts] {
            health.record_failure(source, "no connection");
        }
        let reported = |seconds| health.review(at(seconds)).get(&widgets).map(|failing| failing.is_reported);
        assert_eq!(reported(100), Some(false));
        health.clear(&WatchSource::ReplicaCounts);
        assert_eq!((reported(100), reported(119)), (Some(false), Some(false)), "its watch may be a moment late");
        assert_eq!(reported(121), Some(true), "it is not back");
    }
}
