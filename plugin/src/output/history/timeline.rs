//! Changes, drifts, attempts and ends of management in one timeline.

use std::{collections::VecDeque, mem};

use contract::replicas::v1::{Attempt, Change, Drift, ReplicaCount};
use jiff::Timestamp;
use serde::Serialize;

use crate::{target, time::from_proto};

/// What happened to the count of a target, the oldest first.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The replica count as it is now, without its history.
    pub(super) count: ReplicaCount,
    pub(super) entries: Vec<Entry>,
    pub(super) dropped: Dropped,
}

/// Something that happened to a count.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Change(Change),
    Drift(Drift),
    /// The latest write that the guard kept from being stored, and its number. The server keeps no earlier ones.
    Attempt(Attempt, i64),
    Unmanaged(Unmanaged),
}

/// The end of an earlier management, as its Event describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmanaged {
    pub(crate) at: Timestamp,
    pub(crate) note: String,
}

/// How many older changes and drifts the server no longer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Dropped {
    pub(super) changes: i64,
    pub(super) drifts: i64,
}

impl Entry {
    pub(super) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Change(change) => change.at.as_ref().and_then(from_proto),
            Self::Drift(drift) => drift.at.as_ref().and_then(from_proto),
            Self::Attempt(attempt, _) => attempt.at.as_ref().and_then(from_proto),
            Self::Unmanaged(end) => Some(end.at),
        }
    }
}

impl Timeline {
    /// The name of its target.
    pub(crate) fn name(&self) -> String {
        target::name(&self.count.target.clone().unwrap_or_default())
    }

    /// Arranges the history of a replica count. The ends of earlier managements come with the oldest first.
    pub(crate) fn new(mut count: ReplicaCount, ends: Vec<Unmanaged>) -> Self {
        let changes = mem::take(&mut count.changes);
        let attempt = count.last_attempt.take().map(|attempt| Entry::Attempt(attempt, count.attempts));
        let mut drifts = mem::take(&mut count.recent_drifts);
        // An older server keeps one.
        if drifts.is_empty() {
            drifts.extend(count.last_drift.clone());
        }
        let dropped = Dropped::of(count.drifts, &changes, &drifts);
        let entries = merge([
            ends.into_iter().map(Entry::Unmanaged).collect(),
            changes.into_iter().rev().map(Entry::Change).collect(),
            drifts.into_iter().rev().map(Entry::Drift).collect(),
            attempt.into_iter().collect(),
        ]);
        Self { count, entries, dropped }
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Dropped {
    /// The numbers count from the beginning of the management. The latest change and drift come first.
    fn of(all_drifts: i64, changes: &[Change], drifts: &[Drift]) -> Self {
        let before = |number: i64| number.saturating_sub(1).max(0);
        let shown = i64::try_from(drifts.len()).unwrap_or(i64::MAX);
        Self {
            changes: changes.last().map_or(0, |oldest| before(oldest.number)),
            drifts: match drifts.last().map_or(0, |oldest| oldest.number) {
                // An older server numbers nothing.
                ..=0 => all_drifts.saturating_sub(shown).max(0),
                oldest => before(oldest),
            },
        }
    }
}

/// Merges series by time. Each keeps its own order, since the clocks of two leaders may differ.
fn merge<const N: usize>(mut series: [VecDeque<Entry>; N]) -> Vec<Entry> {
    let mut merged = Vec::with_capacity(series.iter().map(VecDeque::len).sum());
    while let Some(next) =
        series.iter_mut().filter(|one| !one.is_empty()).min_by_key(|one| one.front().and_then(Entry::at))
    {
        merged.extend(next.pop_front());
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::to_proto;

    fn at(second: i64) -> Option<prost_types::Timestamp> {
        Some(to_proto(Timestamp::from_second(second).unwrap()))
    }

    fn change(number: i64, second: i64) -> Change {
        Change { number, at: at(second), ..Change::default() }
    }

    fn drift(number: i64, second: i64) -> Drift {
        Drift { number, at: at(second), ..Drift::default() }
    }

    fn shown(timeline: &Timeline) -> String {
        let short = |entry: &Entry| match entry {
            Entry::Change(change) => format!("c{}", change.number),
            Entry::Drift(drift) => format!("d{}", drift.number),
            Entry::Attempt(_, number) => format!("a{number}"),
            Entry::Unmanaged(end) => format!("end{}", end.at.as_second()),
        };
        timeline.entries.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    /// The timeline, and how many changes and drifts are dropped.
    fn arrange(changes: Vec<Change>, drifts: Vec<Drift>, more_drifts: i64, ends: &[i64]) -> (String, (i64, i64)) {
        let all = more_drifts + i64::try_from(drifts.len()).unwrap();
        let count = ReplicaCount { drifts: all, changes, recent_drifts: drifts, ..ReplicaCount::default() };
        let end = |second| Unmanaged { at: Timestamp::from_second(second).unwrap(), note: String::new() };
        let timeline = Timeline::new(count, ends.iter().copied().map(end).collect());
        (shown(&timeline), (timeline.dropped.changes, timeline.dropped.drifts))
    }

    #[test]
    fn what_happened_is_in_the_order_of_time() {
        let timeless = Change { at: None, ..change(2, 0) };
        for (name, changes, drifts, ends, expected) in [
            ("nothing", vec![], vec![], vec![], ""),
            (
                "by time",
                vec![change(2, 30), change(1, 10)],
                vec![drift(2, 40), drift(1, 20)],
                vec![5],
                "end5 c1 d1 c2 d2",
            ),
            ("at the same time", vec![change(1, 10)], vec![drift(1, 10)], vec![10], "end10 c1 d1"),
            (
                "the clock of a new leader is behind",
                vec![change(3, 20), change(2, 30), change(1, 10)],
                vec![drift(1, 25)],
                vec![],
                "c1 d1 c2 c3",
            ),
            ("a time is missing", vec![timeless, change(1, 10)], vec![drift(1, 5)], vec![], "d1 c1 c2"),
        ] {
            assert_eq!(arrange(changes, drifts, 0, &ends).0, expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_longer_kept_is_counted() {
        for (name, changes, drifts, more_drifts, dropped) in [
            ("all are there", vec![change(1, 10)], vec![drift(1, 20)], 0, (0, 0)),
            ("by their numbers", vec![change(14, 30), change(13, 10)], vec![drift(41, 20)], 40, (12, 40)),
            ("an older server has no numbers", vec![change(0, 10)], vec![drift(0, 20)], 40, (0, 40)),
            ("numbers of an odd server", vec![change(-3, 10)], vec![drift(i64::MIN, 20)], -9, (0, 0)),
        ] {
            assert_eq!(arrange(changes, drifts, more_drifts, &[]).1, dropped, "{name}");
        }
    }

    #[test]
    fn the_latest_attempt_is_in_the_timeline() {
        let attempt = Attempt { at: at(15), ..Attempt::default() };
        let count = ReplicaCount {
            changes: vec![change(2, 20), change(1, 10)],
            attempts: 7,
            last_attempt: Some(attempt),
            ..ReplicaCount::default()
        };
        assert_eq!(shown(&Timeline::new(count, Vec::new())), "c1 a7 c2");
    }

    #[test]
    fn the_last_drift_stands_for_those_that_an_older_server_does_not_keep() {
        let count = ReplicaCount { drifts: 3, last_drift: Some(drift(0, 10)), ..ReplicaCount::default() };
        let timeline = Timeline::new(count, Vec::new());
        assert_eq!((shown(&timeline).as_str(), timeline.dropped.drifts), ("d0", 2));
    }
}
