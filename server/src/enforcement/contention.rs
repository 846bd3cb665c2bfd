//! What makes a target contested: an actor that undoes corrections, or an autoscaler. And the pace of corrections.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use super::{
    observation::Observation,
    remedies::{remedy, remedy_of_autoscaler},
};
use crate::{
    resources::{
        Drift, ReplicaCountStatus,
        conditions::{CONTESTED, reasons, statuses},
    },
    reviews::Admission,
};

/// This many drifts by one actor within [`WINDOW`] are contention.
const DRIFTS: usize = 3;

/// How long a drift counts. Contention ends this long after the actor's latest drift.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// This many corrections within [`CORRECTIONS_WINDOW`] are made at once. Later ones are [`PACE`] apart, so that two
/// programs that insist on their counts do not load the API server without end.
const CORRECTIONS: usize = 10;

/// See [`CORRECTIONS`].
const CORRECTIONS_WINDOW: Duration = Duration::from_secs(60);

/// See [`CORRECTIONS`].
const PACE: Duration = Duration::from_secs(5);

/// How many drifts are remembered. With only [`DRIFTS`] of them, two actors that take turns would never be found,
/// because each would push out the drifts of the other. This many find up to six actors that take turns.
const REMEMBERED_DRIFTS: usize = 4 * DRIFTS + 1;

/// The latest drifts and corrections of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contention {
    /// The latest drifts, each with its actor, the newest first.
    drifts: VecDeque<(Timestamp, String)>,
    /// The latest corrections, the newest first.
    corrections: VecDeque<Timestamp>,
    /// The actor that keeps undoing corrections, and the time of its latest drift.
    opponent: Option<(String, Timestamp)>,
}

impl Contention {
    /// The contention that a status shows, if it shows any.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        let contested = status
            .conditions
            .iter()
            .find(|condition| condition.is(CONTESTED, statuses::TRUE) && *condition.reason == *reasons::REPEATED_DRIFT);
        let opponent = contested.and_then(|condition| {
            let named =
                |manager: &str| condition.message.strip_prefix(manager).is_some_and(|rest| rest.starts_with(' '));
            // The longest name: one manager's name may start with another's.
            let named = status.drifters.iter().filter(|drifter| named(&drifter.manager));
            named.max_by_key(|drifter| drifter.manager.len())
        });
        Self { opponent: opponent.map(|drifter| (drifter.manager.clone(), drifter.last.0)), ..Self::default() }
    }

    /// Takes over the opponent that another server's status shows, unless there is one already.
    pub fn take_over(&mut self, status: &ReplicaCountStatus) {
        if self.opponent.is_none() {
            self.opponent = Self::of(status).opponent;
        }
    }

    /// The contention after one more drift.
    pub fn with_drift(&self, manager: &str, at: Timestamp) -> Self {
        let mut next = self.clone();
        next.drifts.push_front((at, manager.to_owned()));
        next.drifts.truncate(REMEMBERED_DRIFTS);
        let recent = next.drifts.iter().filter(|(then, by)| by == manager && since(*then, at) < WINDOW).count();
        let goes_on = self.opponent(at).is_some_and(|opponent| opponent == manager);
        if recent >= DRIFTS || goes_on {
            next.opponent = Some((manager.to_owned(), at));
        }
        next
    }

    /// Adds a correction.
    pub fn add_correction(&mut self, at: Timestamp) {
        self.corrections.push_front(at);
        self.corrections.truncate(CORRECTIONS);
    }

    /// The actor that keeps undoing corrections.
    pub fn opponent(&self, now: Timestamp) -> Option<&str> {
        self.opponent.as_ref().filter(|(_, last)| since(*last, now) < WINDOW).map(|(manager, _)| manager.as_str())
    }

    /// The time until the contention ends, if nothing further happens.
    pub fn ends_in(&self, now: Timestamp) -> Option<Duration> {
        self.opponent.as_ref().map(|(_, last)| WINDOW.saturating_sub(since(*last, now))).filter(|left| !left.is_zero())
    }

    /// How long the next correction has to wait.
    pub fn pause(&self, now: Timestamp) -> Duration {
        let is_busy = self.corrections.len() == CORRECTIONS
            && self.corrections.back().is_some_and(|first| since(*first, now) < CORRECTIONS_WINDOW);
        match self.corrections.front() {
            Some(last) if is_busy => PACE.saturating_sub(since(*last, now)),
            _ => Duration::ZERO,
        }
    }
}

/// What contests the count of a target: an autoscaler, or an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What contests the count, and what to do about it. Corrections continue in either case. A count that is not held any more
/// is not contested. `drift_by` finds the latest drift by a manager.
pub fn contested<'a>(
    observation: &Observation,
    contention: &Contention,
    drift_by: impl Fn(&str) -> Option<&'a Drift>,
    now: Timestamp,
) -> Option<Contested> {
    if observation.count.deleting {
        return None;
    }
    // The guard keeps an autoscaler from changing the count. Until that is tested, nothing is said.
    let is_paused = matches!(observation.admission, Some(Admission::Guarded) | None);
    if let Some(autoscaler) = observation.autoscaler.as_ref().filter(|_| !is_paused) {
        let remedy = remedy_of_autoscaler(autoscaler);
        let message = format!("HorizontalPodAutoscaler {autoscaler} scales this target too: {remedy}");
        return Some(Contested { reason: reasons::AUTOSCALED, message });
    }
    let opponent = contention.opponent(now)?;
    let remedy = remedy(opponent, drift_by(opponent), observation);
    // The next leader reads the opponent's name from the beginning.
    let message = format!("{opponent} keeps changing the count: {remedy}; or delete this ReplicaCount");
    Some(Contested { reason: reasons::REPEATED_DRIFT, message })
}

/// The time between two moments. A moment that is to come, because the clock was set back, is as far away as one in the
/// past, so it does not count until the clock has come there again.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(then).unsigned_abs()
}

#[cfg(test)]
mod tests;
