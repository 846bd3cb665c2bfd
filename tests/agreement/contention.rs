//! What the walk expects of `Contested`: three drifts by one manager within ten minutes, until the next change.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The drifts by one manager that make a target contested.
const DRIFTS: usize = 3;

/// How long a drift counts.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// Around the end of the window, nothing is expected.
const MARGIN: Duration = Duration::from_secs(10);

/// How many drifts the server remembers.
const REMEMBERED: usize = 13;

/// The most corrections of a target within a minute that are not slowed down.
const FAST: usize = 8;

/// The drifts of one target since its latest change.
#[derive(Debug, Default)]
pub(super) struct ExpectedContention {
    drifts: VecDeque<(Instant, String)>,
    opponent: Option<(Instant, String)>,
    corrections: VecDeque<Instant>,
}

impl ExpectedContention {
    pub(super) fn add(&mut self, manager: &str) {
        let now = Instant::now();
        self.corrections.push_front(now);
        self.drifts.push_front((now, manager.to_owned()));
        self.drifts.truncate(REMEMBERED);
        let recent = self.drifts.iter().filter(|(at, by)| by == manager && at.elapsed() < WINDOW).count();
        if recent >= DRIFTS || self.opponent().is_some_and(|opponent| opponent == manager) {
            self.opponent = Some((now, manager.to_owned()));
        }
    }

    /// The next leader knows the opponent, but not the drifts. If there is an autoscaler, the status names it and no
    /// opponent.
    pub(super) fn lose_leader(&mut self, is_autoscaled: bool) {
        if is_autoscaled {
            self.opponent = None;
        }
        self.drifts.clear();
        self.corrections.clear();
    }

    /// Whether one more drift is corrected at once.
    pub(super) fn is_fast(&self) -> bool {
        let minute = Duration::from_secs(60) + MARGIN;
        self.corrections.iter().filter(|at| at.elapsed() < minute).count() < FAST
    }

    /// The manager that keeps changing the count.
    pub(super) fn opponent(&self) -> Option<&str> {
        self.opponent.as_ref().filter(|(last, _)| last.elapsed() < WINDOW).map(|(_, manager)| manager.as_str())
    }

    /// Whether the end of the window is so close that the server may see it earlier or later.
    pub(super) fn is_unsure(&self) -> bool {
        let is_close = |at: &Instant| at.elapsed().abs_diff(WINDOW) < MARGIN;
        self.drifts.iter().map(|(at, _)| at).chain(self.opponent.iter().map(|(at, _)| at)).any(is_close)
    }
}
