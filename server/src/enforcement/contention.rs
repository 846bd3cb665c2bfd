//! Fights over a count: who keeps undoing corrections, and how fast to go on correcting then.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;

use crate::resources::{ReplicaCountStatus, TargetKey};

/// The type of the condition that tells of a fight.
pub const CONTESTED: &str = "Contested";

/// The reason of that condition where an autoscaler decides too.
pub const AUTOSCALED: &str = "Autoscaled";

/// Its reason where an actor keeps undoing corrections.
pub const REPEATED_DRIFT: &str = "RepeatedDrift";

/// So many drifts by one actor within [`WINDOW`] are a fight.
const DRIFTS: usize = 3;

/// How long a drift counts: after so long without a further one, a fight is over.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// So many corrections within [`MINUTE`] are made at once; those past that are made every [`PACE`], so that two programs
/// that insist do not load the API server without end.
const CORRECTIONS: usize = 10;

/// See [`CORRECTIONS`].
const MINUTE: Duration = Duration::from_secs(60);

/// See [`CORRECTIONS`].
const PACE: Duration = Duration::from_secs(5);

/// The latest drifts and corrections of one target.
#[derive(Debug, Default)]
pub struct Contention {
    /// The times of the latest drifts, each with its actor.
    drifts: VecDeque<(Timestamp, String)>,
    corrections: VecDeque<Timestamp>,
    opponent: Option<(String, Timestamp)>,
}

impl Contention {
    /// The fight that a status tells of, if it tells of one.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        let told = status
            .conditions
            .iter()
            .find(|one| one.type_ == CONTESTED && one.status == "True" && one.reason == REPEATED_DRIFT);
        let opponent =
            told.and_then(|told| status.drifters.iter().find(|drifter| told.message == message(&drifter.manager)));
        Self { opponent: opponent.map(|drifter| (drifter.manager.clone(), drifter.last.0)), ..Self::default() }
    }

    /// Takes over the fight that another server knows of.
    pub fn adopt(&mut self, status: &ReplicaCountStatus) {
        if self.opponent.is_none() {
            self.opponent = Self::of(status).opponent;
        }
    }

    /// Takes in a drift.
    pub fn drifted(&mut self, manager: &str, now: Timestamp) {
        // More than one actor can cause, so that several do not hide each other.
        self.drifts.truncate(4 * DRIFTS);
        self.drifts.push_front((now, manager.to_owned()));
        let recent = self.drifts.iter().filter(|(at, by)| by == manager && since(*at, now) < WINDOW).count();
        let goes_on = self.opponent(now).is_some_and(|opponent| opponent == manager);
        if recent >= DRIFTS || goes_on {
            self.opponent = Some((manager.to_owned(), now));
        }
    }

    /// Takes in a correction.
    pub fn corrected(&mut self, now: Timestamp) {
        self.corrections.truncate(CORRECTIONS - 1);
        self.corrections.push_front(now);
    }

    /// Starts anew: somebody has decided about the count.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Who keeps undoing corrections.
    pub fn opponent(&self, now: Timestamp) -> Option<&str> {
        self.opponent.as_ref().filter(|(_, last)| since(*last, now) < WINDOW).map(|(manager, _)| manager.as_str())
    }

    /// When a fight will be over, if nothing further happens.
    pub fn ends_in(&self, now: Timestamp) -> Option<Duration> {
        self.opponent.as_ref().map(|(_, last)| WINDOW.saturating_sub(since(*last, now))).filter(|left| !left.is_zero())
    }

    /// How long the next correction has to wait.
    pub fn pause(&self, now: Timestamp) -> Duration {
        let busy = self.corrections.len() == CORRECTIONS
            && self.corrections.back().is_some_and(|first| since(*first, now) < MINUTE);
        match self.corrections.front() {
            Some(last) if busy => PACE.saturating_sub(since(*last, now)),
            _ => Duration::ZERO,
        }
    }
}

/// The targets that others fight over, told of in a metric.
pub struct ContestedTargets {
    keys: BTreeSet<TargetKey>,
    told: Gauge,
}

impl ContestedTargets {
    /// None yet.
    pub fn told_by(told: Gauge) -> Self {
        Self { keys: BTreeSet::new(), told }
    }

    /// Takes in whether a target is one of them.
    pub fn note(&mut self, key: &TargetKey, contested: bool) {
        if contested {
            self.keys.insert(key.clone());
        } else {
            self.keys.remove(key);
        }
        self.told.set(self.keys.len() as i64);
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.told.set(0);
    }
}

/// What a fight looks like to people, and what to do about it.
pub fn message(opponent: &str) -> String {
    format!("{opponent} keeps changing the count: leave it out of what {opponent} writes, or delete this ReplicaCount")
}

/// The time between two moments; none if the clock was set back.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn drifts(times: &[(i64, &str)]) -> Contention {
        let mut contest = Contention::default();
        times.iter().for_each(|(second, manager)| contest.drifted(manager, at(*second)));
        contest
    }

    #[test]
    fn three_drifts_by_one_actor_within_ten_minutes_are_a_fight() {
        for (times, now, opponent) in [
            (vec![(0, "helm"), (1, "helm")], 1, None),
            (vec![(0, "helm"), (1, "helm"), (2, "helm")], 2, Some("helm")),
            (vec![(0, "helm"), (1, "kubectl"), (2, "helm"), (3, "kubectl"), (4, "helm")], 4, Some("helm")),
            (vec![(0, "helm"), (599, "helm"), (600, "helm")], 600, None),
            (vec![(0, "helm"), (1, "helm"), (2, "helm")], 601, Some("helm")),
            (vec![(0, "helm"), (1, "helm"), (2, "helm")], 602, None),
            (vec![(0, "helm"), (1, "helm"), (2, "helm"), (601, "helm")], 1200, Some("helm")),
        ] {
            assert_eq!(drifts(&times).opponent(at(now)), opponent, "{times:?} at {now}");
        }
    }

    #[test]
    fn a_target_is_contested_once_until_it_is_no_longer() {
        let told = Gauge::default();
        let mut contested = ContestedTargets::told_by(told.clone());
        for (name, is, count) in [("a", true, 1), ("b", true, 2), ("a", true, 2), ("c", false, 2), ("a", false, 1)] {
            contested.note(&TargetKey::new("shop", "", "", name).unwrap(), is);
            assert_eq!(told.get(), count, "{name} {is}");
        }
        contested.clear();
        assert_eq!(told.get(), 0);
    }

    #[test]
    fn a_fight_ends_by_itself_or_by_a_decision() {
        let mut contest = drifts(&[(0, "helm"), (1, "helm"), (2, "helm")]);
        assert_eq!(contest.ends_in(at(2)), Some(WINDOW));
        assert_eq!(contest.ends_in(at(602)), None);
        contest.clear();
        assert_eq!(contest.opponent(at(2)), None);
        contest.drifted("helm", at(3));
        assert_eq!(contest.opponent(at(3)), None);
    }

    #[test]
    fn corrections_are_immediate_up_to_ten_a_minute_and_go_on_past_that() {
        let mut contest = Contention::default();
        for second in 0..10 {
            assert_eq!(contest.pause(at(second)), Duration::ZERO, "{second}");
            contest.corrected(at(second));
        }
        assert_eq!(contest.pause(at(9)), PACE);
        assert_eq!(contest.pause(at(12)), Duration::from_secs(2));
        assert_eq!(contest.pause(at(14)), Duration::ZERO);
        assert_eq!(contest.pause(at(60)), Duration::ZERO, "a minute after the first of them");
        contest.clear();
        assert_eq!(contest.pause(at(9)), Duration::ZERO, "a new count is put in place at once");
    }
}
