//! What a picture shows of a history: the desired count over time, the overrides, and the drifts.

use contract::replicas::v1::{Change, Drift, ReplicaCount};
use jiff::Timestamp;

use crate::{output::history::timeline::Entry, time::from_proto};

/// The reasons of the server for changes that end an override.
const ENDS: [&str; 2] = ["the override ended", "the override was cleared"];

/// What to draw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The desired count, from each moment to that of the next step.
    pub(super) desired: Vec<Step>,
    pub(super) overrides: Vec<Span>,
    pub(super) drifts: Vec<Excursion>,
}

/// A desired count that begins. Without a time it has held from the beginning of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Option<Timestamp>,
    pub(super) count: i32,
}

/// The time of an override. Without a beginning it is older than the picture, and without an end it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// A drift: the count leaves the desired one, and comes back if it was corrected. Otherwise another drift or another desired
/// count may have ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excursion {
    pub(super) at: Timestamp,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) end: Option<Timestamp>,
    pub(super) is_corrected: bool,
}

impl Counts {
    /// Finds what to draw. The entries are in the order of the timeline.
    pub(super) fn of(entries: &[Entry], now: &ReplicaCount, at: Timestamp) -> Self {
        let mut walk = Walk::default();
        for entry in entries {
            match entry {
                Entry::Change(change) => walk.follow(change),
                Entry::Drift(drift) => walk.follow_drift(drift),
                Entry::Attempt(..) | Entry::Unmanaged(_) => {}
            }
        }
        walk.end(now, at)
    }

    /// The highest count.
    pub(super) fn most(&self) -> i32 {
        let drifts = self.drifts.iter().flat_map(|drift| [drift.from, drift.to]);
        self.desired.iter().map(|step| step.count).chain(drifts).max().unwrap_or_default()
    }
}

fn excursion(drift: &Drift) -> Option<Excursion> {
    let at = drift.at.as_ref().and_then(from_proto)?;
    let end = drift.corrected_at.as_ref().and_then(from_proto).map(|end| end.max(at));
    // A count that was removed has no place in a picture, so it is drawn as 0.
    Some(Excursion { at, from: drift.from(), to: drift.to(), end, is_corrected: end.is_some() })
}

/// What is known of the counts while the changes are followed, the oldest first.
#[derive(Default)]
struct Walk {
    counts: Counts,
    lasting: Option<i32>,
    /// The beginning of the override that holds.
    override_: Option<Option<Timestamp>>,
    /// The latest changes that the server did not see one by one: an override may have begun there.
    unseen: Option<Timestamp>,
}

impl Walk {
    fn follow(&mut self, change: &Change) {
        let (at, to) = (change.at.as_ref().and_then(from_proto), change.to());
        if self.counts.desired.is_empty()
            && let Some(before) = change.from
        {
            self.counts.desired.push(Step { at: None, count: before });
        }
        match change.field.as_str() {
            "replicas" => {
                self.lasting = Some(to);
                if self.override_.is_none() {
                    self.step(at, to);
                }
            }
            "override" if self.is_end(change) => {
                let from = self.override_.take().flatten();
                self.counts.overrides.push(Span { from, to: at });
                self.lasting = Some(to);
                self.step(at, to);
            }
            "override" => {
                if let Some(from) = self.override_.replace(at) {
                    self.counts.overrides.push(Span { from, to: at });
                }
                self.step(at, to);
            }
            "reason" => {}
            // Several changes, or one of an older server, of which only the desired count is known.
            _ => {
                let before = self.override_.take();
                self.counts.overrides.extend(before.map(|from| Span { from, to: at }));
                (self.lasting, self.unseen) = (None, at);
                self.step(at, to);
            }
        }
    }

    fn is_end(&self, change: &Change) -> bool {
        let has_reason = ENDS.contains(&change.reason.as_str());
        // A new lasting count clears an override. Its own change is the one before.
        has_reason || change.by.is_empty() || (self.override_.is_some() && self.lasting == change.to)
    }

    fn follow_drift(&mut self, drift: &Drift) {
        let next = excursion(drift);
        self.leave_drift(next.map(|next| next.at));
        self.counts.drifts.extend(next);
    }

    fn step(&mut self, at: Option<Timestamp>, count: i32) {
        self.leave_drift(at);
        self.counts.desired.push(Step { at, count });
    }

    /// Ends the latest drift if it was not corrected.
    fn leave_drift(&mut self, at: Option<Timestamp>) {
        if let Some(drift) = self.counts.drifts.last_mut() {
            drift.end = drift.end.or(at.map(|at| at.max(drift.at)));
        }
    }

    /// Compares what was followed with the replica count as it is now.
    fn end(mut self, now: &ReplicaCount, at: Timestamp) -> Counts {
        if self.counts.desired.is_empty() {
            self.counts.desired.extend(now.desired.map(|count| Step { at: None, count }));
        }
        let until = now.r#override.as_ref().and_then(|over| over.until.as_ref()).and_then(from_proto);
        // An override whose end changes no count is no change.
        match (self.override_, until) {
            (Some(from), Some(until)) => {
                self.counts.overrides.push(Span { from, to: Some(until).filter(|until| *until <= at) });
            }
            (None, Some(until)) if until > at => {
                self.counts.overrides.push(Span { from: self.unseen, to: None });
            }
            _ => {}
        }
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Override;

    use super::*;
    use crate::time::to_proto;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn change(second: i64, field: &str, from: impl Into<Option<i32>>, to: i32, by: &str, reason: &str) -> Entry {
        Entry::Change(Change {
            field: field.to_owned(),
            from: from.into(),
            to: Some(to),
            by: by.to_owned(),
            reason: reason.to_owned(),
            at: Some(to_proto(at(second))),
            ..Change::default()
        })
    }

    fn with_override(until: i64) -> ReplicaCount {
        let over = Override { replicas: Some(9), until: Some(to_proto(at(until))), ..Override::default() };
        ReplicaCount { r#override: Some(over), desired: Some(9), ..ReplicaCount::default() }
    }

    /// The steps as `time:count`, and the overrides as `from-to`.
    fn shown(counts: &Counts) -> String {
        let time = |at: Option<Timestamp>| at.map_or_else(|| "*".to_owned(), |at| at.as_second().to_string());
        let steps = counts.desired.iter().map(|step| format!("{}:{}", time(step.at), step.count));
        let spans = counts.overrides.iter().map(|span| format!("{}-{}", time(span.from), time(span.to)));
        steps.chain(spans).collect::<Vec<_>>().join(" ")
    }

    fn check(rows: Vec<(&str, Vec<Entry>, ReplicaCount, &str)>) {
        for (name, entries, now, expected) in rows {
            assert_eq!(shown(&Counts::of(&entries, &now, at(60))), expected, "{name}");
        }
    }

    fn without_override() -> ReplicaCount {
        ReplicaCount { desired: Some(4), ..ReplicaCount::default() }
    }

    #[test]
    fn lasting_counts_become_steps() {
        let set = || change(10, "replicas", None, 3, "alice", "");
        let next = || change(30, "replicas", 3, 4, "bob", "");
        check(vec![
            ("nothing", vec![], without_override(), "*:4"),
            ("two counts", vec![set(), next()], without_override(), "10:3 30:4"),
            ("older ones are gone", vec![next()], without_override(), "*:3 30:4"),
            ("a reason", vec![set(), change(20, "reason", 3, 3, "bob", "why")], without_override(), "10:3"),
        ]);
    }

    #[test]
    fn overrides_become_steps_and_spans() {
        let set = || change(10, "replicas", None, 3, "alice", "");
        let over = || change(20, "override", 3, 9, "bob", "sale");
        let ended = || change(40, "override", 9, 3, "", "the override ended");
        let cleared = change(40, "override", 9, 3, "bob", "the override was cleared");
        let [calm, calmed] = [change(40, "replicas", 3, 5, "bob", "calm"), change(40, "override", 9, 5, "bob", "calm")];
        let lasting = change(30, "replicas", 3, 4, "bob", "");
        let longer = change(30, "override", 9, 9, "bob", "");
        let several = |from, to| change(30, "spec", from, to, "several, unseen", "");
        check(vec![
            ("ended", vec![set(), over(), ended()], without_override(), "10:3 20:9 40:3 20-40"),
            ("cleared", vec![set(), over(), cleared], without_override(), "10:3 20:9 40:3 20-40"),
            ("cleared by a count", vec![set(), over(), calm, calmed], without_override(), "10:3 20:9 40:5 20-40"),
            ("a lasting count meanwhile", vec![set(), over(), lasting], with_override(99), "10:3 20:9 20-*"),
            ("longer", vec![set(), over(), longer], with_override(99), "10:3 20:9 30:9 20-30 30-*"),
            ("an end that changed nothing", vec![set(), over()], with_override(40), "10:3 20:9 20-40"),
            ("from before", vec![], with_override(99), "*:9 *-*"),
            ("from before, ended", vec![ended()], without_override(), "*:9 40:3 *-40"),
            ("several", vec![set(), over(), several(9, 4)], without_override(), "10:3 20:9 30:4 20-30"),
            ("several, and it holds", vec![set(), several(3, 9)], with_override(99), "10:3 30:9 30-*"),
        ]);
    }

    #[test]
    fn a_drift_leaves_the_desired_count_until_it_is_corrected() {
        let drift = |from, to, end: Option<i64>| {
            Entry::Drift(Drift {
                from: Some(from),
                to: Some(to),
                at: Some(to_proto(at(10))),
                corrected_at: end.map(|end| to_proto(at(end))),
                ..Drift::default()
            })
        };
        let entries = [drift(3, 7, Some(11)), drift(3, 12, None), drift(3, 1, Some(5))];
        let counts = Counts::of(&entries, &ReplicaCount::default(), at(60));
        assert_eq!((ends(&counts), counts.most()), (vec![(Some(11), true), (Some(10), false), (Some(10), true)], 12));
        let set = |second, to| change(second, "replicas", 3, to, "alice", "");
        for (name, then, expected) in [
            ("nothing else", vec![], (None, false)),
            ("a reason", vec![change(20, "reason", 3, 3, "alice", "why")], (None, false)),
            ("a Set of its count", vec![set(20, 12)], (Some(20), false)),
            ("a Set by a server whose clock is behind", vec![set(5, 12)], (Some(10), false)),
            ("an override", vec![change(20, "override", 3, 9, "alice", "")], (Some(20), false)),
        ] {
            let entries = [vec![drift(3, 12, None)], then].concat();
            assert_eq!(ends(&Counts::of(&entries, &ReplicaCount::default(), at(60))), [expected], "{name}");
        }
    }

    /// When each drift ends, and whether it was corrected.
    fn ends(counts: &Counts) -> Vec<(Option<i64>, bool)> {
        let end = |drift: &Excursion| (drift.end.map(|end| end.as_second()), drift.is_corrected);
        counts.drifts.iter().map(end).collect()
    }
}
