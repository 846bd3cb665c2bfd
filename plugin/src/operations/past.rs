//! A count in the history of a target.

use contract::replicas::v1::{Change, ReplicaCount};
use jiff::Timestamp;

use super::error::Error;
use crate::spec::Spec;

/// The field of changes of the lasting count.
const LASTING: &str = "replicas";

/// The field of several changes that were not seen one by one. Their counts are the desired ones, which may be those of
/// overrides.
const SEVERAL: &str = "spec";

const OVERRIDE: &str = "override";

/// Which count of the history to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The lasting count before the last change.
    Previous,
    /// This count, which must be in the history.
    Count(i32),
    /// The count after the change of this number.
    Change(i64),
}

/// A lasting count of the history, and why it was set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) replicas: i32,
    pub(crate) reason: String,
}

/// Finds the lasting count to go back to.
pub(crate) fn find(present: &ReplicaCount, goal: Goal, now: Timestamp) -> Result<Past, Error> {
    let target = || Box::new(present.target.clone().unwrap_or_default());
    let spec = Spec::of(present).ok_or_else(|| Error::NoHistory { target: target() })?;
    let changes = &present.changes;
    let past = |replicas| Past { replicas, reason: reason_of(changes, replicas) };
    match goal {
        Goal::Count(count) => {
            let known = counts(present);
            match known.contains(&count) {
                true => Ok(past(count)),
                false => Err(Error::NoSuchCount { target: target(), count, known: list(&known) }),
            }
        }
        Goal::Change(number) => {
            let index = changes.iter().position(|change| change.number == number);
            let index = index.ok_or_else(|| {
                let known: Vec<_> = changes.iter().map(|change| change.number).collect();
                Error::NoSuchChange { target: target(), number, known: list(&known) }
            })?;
            let Change { field, reason, .. } = &changes[index];
            let to = changes[index].to();
            let lasting = lasting_after(changes, index, spec.replicas);
            let lasting = || lasting.ok_or_else(|| Error::NoLasting { target: target(), number });
            match field.as_str() {
                LASTING => Ok(Past { replicas: to, reason: reason.clone() }),
                SEVERAL => Err(Error::NoLasting { target: target(), number }),
                // The end of an override leads to the lasting count.
                OVERRIDE if to != lasting()? => Err(Error::Override { target: target(), number, count: to }),
                _ => Ok(past(lasting()?)),
            }
        }
        // The override is the last change that holds.
        Goal::Previous if spec.active_override(now).is_some() => {
            Ok(Past { replicas: spec.replicas, reason: spec.reason })
        }
        Goal::Previous => {
            let mut earlier = changes.iter().filter(|change| may_lead_elsewhere(change, spec.replicas));
            let change = earlier.next().ok_or_else(|| Error::NoEarlier { target: target() })?;
            let unmanaged = || Error::Unmanaged { target: target(), change: format!("change {}", change.number) };
            let from = change.from.ok_or_else(unmanaged)?;
            match is_lasting(change) {
                true => Ok(past(from)),
                false => Err(Error::NoLasting { target: target(), number: change.number }),
            }
        }
    }
}

fn is_lasting(change: &Change) -> bool {
    change.field == LASTING
}

/// Whether a change may have changed the lasting count.
fn may_be_lasting(change: &&Change) -> bool {
    is_lasting(change) || change.field == SEVERAL
}

/// Whether the lasting count before a change may be another one than the present one.
fn may_lead_elsewhere(change: &Change, present: i32) -> bool {
    may_be_lasting(&change) && (change.field == SEVERAL || change.from != Some(present))
}

/// The lasting count after a change: of that change or the next older one, or from before the next newer one. None if
/// these are of several changes, so that it is not known.
fn lasting_after(changes: &[Change], index: usize, present: i32) -> Option<i32> {
    let (newer, rest) = changes.split_at(index);
    match rest.iter().find(may_be_lasting) {
        Some(older) if is_lasting(older) => older.to,
        _ => match newer.iter().rev().find(may_be_lasting) {
            Some(newer) if is_lasting(newer) => newer.from,
            Some(_) => None,
            None => Some(present),
        },
    }
}

/// The reason of the latest change to a lasting count.
fn reason_of(changes: &[Change], replicas: i32) -> String {
    let latest = changes.iter().find(|change| is_lasting(change) && change.to == Some(replicas));
    latest.map(|change| change.reason.clone()).unwrap_or_default()
}

/// The counts in the history, the latest first, each once.
fn counts(present: &ReplicaCount) -> Vec<i32> {
    let of_changes = present.changes.iter().flat_map(|change| [change.to, change.from]);
    let mut known = Vec::new();
    for count in of_changes.chain([present.replicas, present.original_replicas]).flatten() {
        if !known.contains(&count) {
            known.push(count);
        }
    }
    known
}

fn list(numbers: &[impl ToString]) -> String {
    match numbers {
        [] => "none".to_owned(),
        numbers => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::{Override, Target};

    use super::*;
    use crate::time::to_proto;

    fn change(number: i64, field: &str, from: Option<i32>, to: i32, reason: &str) -> Change {
        let [field, reason] = [field, reason].map(str::to_owned);
        Change { number, field, from, to: Some(to), reason, ..Change::default() }
    }

    fn now() -> Timestamp {
        "2026-11-23T18:00:00Z".parse().unwrap()
    }

    fn count(replicas: i32, mut changes: Vec<Change>) -> ReplicaCount {
        changes.reverse();
        ReplicaCount { replicas: Some(replicas), original_replicas: Some(1), changes, ..ReplicaCount::default() }
    }

    /// 1 at first, then 3, 5 with a reason, an override of 10 that ended, 7.
    fn long() -> ReplicaCount {
        count(
            7,
            vec![
                change(1, "replicas", None, 3, "first"),
                change(2, "replicas", Some(3), 5, "more"),
                change(3, "override", Some(5), 10, "sale"),
                change(4, "reason", Some(5), 5, "known"),
                change(5, "override", Some(10), 5, "the override ended"),
                change(6, "replicas", Some(5), 7, ""),
            ],
        )
    }

    struct Row {
        name: &'static str,
        present: ReplicaCount,
        goal: Goal,
        past: Result<(i32, &'static str), &'static str>,
    }

    fn row(
        name: &'static str,
        present: ReplicaCount,
        goal: Goal,
        past: Result<(i32, &'static str), &'static str>,
    ) -> Row {
        Row { name, present, goal, past }
    }

    fn check(rows: impl IntoIterator<Item = Row>) {
        for Row { name, present, goal, past } in rows {
            match (find(&present, goal, now()), past) {
                (Ok(found), Ok((replicas, reason))) => {
                    assert_eq!((found.replicas, found.reason.as_str()), (replicas, reason), "{name}");
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part) && error.hint().is_some(), "{name}: {error}");
                }
                (found, past) => panic!("{name}: {found:?} instead of {past:?}"),
            }
        }
    }

    #[test]
    fn the_previous_count_is_the_lasting_one_before_the_last_change() {
        let over = |until: &str| {
            let until = Some(to_proto(until.parse().unwrap()));
            let over = Override { replicas: Some(10), until, ..Override::default() };
            ReplicaCount { r#override: Some(over), ..long() }
        };
        let reason = vec![change(1, "replicas", Some(3), 5, ""), change(2, "reason", Some(5), 5, "x")];
        let first = vec![change(1, "replicas", None, 3, "")];
        let previous = |name, present, past| row(name, present, Goal::Previous, past);
        check([
            previous("previous", long(), Ok((5, "more"))),
            previous("under an override", over("2026-11-23T19:00:00Z"), Ok((7, ""))),
            previous("after an override", over("2026-11-23T17:00:00Z"), Ok((5, "more"))),
            previous("a reason", count(5, reason), Ok((3, ""))),
            previous("the first", count(3, first), Err("was not managed before change 1")),
            previous("no changes", count(3, Vec::new()), Err("has no earlier lasting count")),
            previous("not managed", ReplicaCount::default(), Err("is not managed, so it has no history")),
        ]);
    }

    #[test]
    fn a_count_or_a_change_must_be_in_the_history() {
        let (counts, changes) =
            ("in its history, which has 7, 5, 10, 3, 1", "in its history, which has 6, 5, 4, 3, 2, 1");
        check([
            row("a count", long(), Goal::Count(3), Ok((3, "first"))),
            row("the original count", long(), Goal::Count(1), Ok((1, ""))),
            row("another count", long(), Goal::Count(4), Err(counts)),
            row("a change", long(), Goal::Change(2), Ok((5, "more"))),
            row("the start of an override", long(), Goal::Change(3), Err("began an override of 10")),
            row("the end of an override", long(), Goal::Change(5), Ok((5, "more"))),
            row("a change of a reason", long(), Goal::Change(4), Ok((5, "more"))),
            row("another change", long(), Goal::Change(9), Err(changes)),
        ]);
    }

    #[test]
    fn the_command_of_a_hint_is_for_the_namespace_of_the_target() {
        let [namespace, name] = ["shop", "web"].map(str::to_owned);
        let target = Some(Target { namespace, name, ..Target::default() });
        let changes = || vec![change(1, "replicas", None, 3, ""), change(2, "override", Some(3), 9, "")];
        for (name, present, goal, command) in [
            ("not managed", ReplicaCount::default(), Goal::Previous, "get deployment.apps/web -n shop"),
            ("the first", count(3, changes()), Goal::Previous, "unset deployment.apps/web -n shop --restore"),
            ("an override", count(3, changes()), Goal::Change(2), "set deployment.apps/web -n shop 9 --for DURATION"),
        ] {
            let present = ReplicaCount { target: target.clone(), ..present };
            let hint = find(&present, goal, now()).unwrap_err().hint().unwrap_or_default();
            assert!(hint.contains(&format!("kubectl replicas {command}")), "{name}: {hint}");
        }
    }

    #[test]
    fn changes_that_were_not_seen_one_by_one_have_no_lasting_count() {
        let seen = |number, from, to| change(number, "replicas", Some(from), to, "seen");
        let several = |number| change(number, "spec", Some(3), 10, "sale");
        let reason = change(9, "reason", Some(5), 5, "x");
        let unknown = "its lasting count is not in the history";
        let present = |changes| count(5, changes);
        check([
            row("itself", present(vec![several(8)]), Goal::Change(8), Err(unknown)),
            row("the previous count", present(vec![seen(7, 2, 3), several(8)]), Goal::Previous, Err(unknown)),
            row("an older one", present(vec![several(7), seen(8, 4, 5)]), Goal::Previous, Ok((4, ""))),
            row("a reason after it", present(vec![several(8), reason.clone()]), Goal::Change(9), Ok((5, ""))),
            row("a reason between two", present(vec![several(8), reason, several(10)]), Goal::Change(9), Err(unknown)),
            row(
                "the first",
                present(vec![change(8, "spec", None, 5, "")]),
                Goal::Previous,
                Err("was not managed before change 8"),
            ),
        ]);
    }
}
