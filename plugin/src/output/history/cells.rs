//! The words for one entry of a timeline.

use contract::replicas::v1::{Change, Drift};
use jiff::Timestamp;

use super::timeline::{Dropped, Entry};
use crate::{
    output::text::{NONE, how, printable, writer},
    time::{distance, from_proto},
};

/// The field of a change of the lasting count, which needs no name.
const LASTING: &str = "replicas";

/// Below this many seconds, milliseconds matter.
const SHORT: i64 = 10;

/// What happened: `change 3`, `change 4: override`, `drift 12`, `attempt 5`.
pub(super) fn what(entry: &Entry) -> String {
    let numbered = |word: &str, number: i64| if number == 0 { word.to_owned() } else { format!("{word} {number}") };
    match entry {
        Entry::Change(Change { number, field, .. }) if field.is_empty() || field == LASTING => {
            numbered("change", *number)
        }
        Entry::Change(Change { number, field, .. }) => format!("{}: {}", numbered("change", *number), printable(field)),
        Entry::Drift(drift) => numbered("drift", drift.number),
        Entry::Attempt(_, number) => numbered("attempt", *number),
        Entry::Unmanaged(_) => "unmanaged".to_owned(),
    }
}

/// Who did it: the author of a change, or the person of a write and the program, as in `alice (kubectl, Apply)`.
pub(super) fn who(entry: &Entry) -> String {
    match entry {
        Entry::Change(change) => printable(&change.by),
        Entry::Drift(drift) => writer(&drift.user, &drift.manager, &how(drift)),
        Entry::Attempt(attempt, _) => writer(&attempt.user, &attempt.manager, ""),
        Entry::Unmanaged(_) => NONE.to_owned(),
    }
}

/// Why it was done, or how it ended.
pub(super) fn reason(entry: &Entry) -> String {
    match entry {
        Entry::Change(change) => printable(&change.reason),
        Entry::Drift(drift) => match end(drift) {
            Some((from, to)) => format!("corrected after {}", time_between(from, to)),
            None if drift.corrected_at.is_some() => "corrected".to_owned(),
            None => "not corrected".to_owned(),
        },
        Entry::Attempt(attempt, _) => match attempt.verdict.as_str() {
            "kept" => "the count was kept, and the rest was stored".to_owned(),
            verdict => printable(verdict),
        },
        Entry::Unmanaged(end) => printable(&end.note),
    }
}

/// When a drift began, and when it was corrected.
pub(super) fn end(drift: &Drift) -> Option<(Timestamp, Timestamp)> {
    Some((drift.at.as_ref().and_then(from_proto)?, drift.corrected_at.as_ref().and_then(from_proto)?))
}

/// A time between two moments: `12ms`, `3m20s`. If the clock was set back, it is zero.
pub(super) fn time_between(from: Timestamp, to: Timestamp) -> String {
    let time = to.duration_since(from);
    match time.as_secs() {
        ..0 => "0ms".to_owned(),
        0..SHORT => format!("{}ms", time.as_millis().max(0)),
        _ => distance(from, to),
    }
}

/// The count before and after.
pub(super) fn counts(entry: &Entry) -> (Option<i32>, Option<i32>) {
    match entry {
        Entry::Change(change) => (change.from, change.to),
        Entry::Drift(drift) => (drift.from, drift.to),
        Entry::Attempt(attempt, _) => (attempt.from, attempt.to),
        Entry::Unmanaged(_) => (None, None),
    }
}

/// The older entries of the kind of an entry that are no longer kept, if there are any.
pub(super) fn dropped_before(entry: &Entry, dropped: Dropped) -> Option<String> {
    let (word, number) = match entry {
        Entry::Change(_) => ("change", dropped.changes),
        Entry::Drift(_) => ("drift", dropped.drifts),
        Entry::Attempt(_, number) => ("attempt", number.saturating_sub(1)),
        Entry::Unmanaged(_) => return None,
    };
    match number {
        ..=0 => None,
        1 => Some(format!("{word} 1")),
        last => Some(format!("{word}s 1-{last}")),
    }
}

/// The entries, each with the older ones of its kind that are no longer kept if it is the first of its kind.
pub(super) fn with_dropped(entries: &[Entry], dropped: Dropped) -> impl Iterator<Item = (Option<String>, &Entry)> {
    let is_same_kind = |one: &Entry, other: &Entry| std::mem::discriminant(one) == std::mem::discriminant(other);
    entries.iter().enumerate().map(move |(index, entry)| {
        let is_first = !entries[..index].iter().any(|earlier| is_same_kind(earlier, entry));
        (is_first.then(|| dropped_before(entry, dropped)).flatten(), entry)
    })
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Attempt;

    use super::*;
    use crate::time::to_proto;

    #[test]
    fn an_entry_says_what_who_and_why() {
        let at = |millisecond| Some(to_proto(Timestamp::from_millisecond(millisecond).unwrap()));
        let change = |number, field: &str| {
            Entry::Change(Change {
                number,
                field: field.to_owned(),
                by: "alice\n".to_owned(),
                reason: "sale".to_owned(),
                ..Change::default()
            })
        };
        let drift = |number, operation: &str, subresource: &str, end: Option<i64>| {
            Entry::Drift(Drift {
                number,
                user: "bob".to_owned(),
                manager: "helm".to_owned(),
                operation: operation.to_owned(),
                subresource: subresource.to_owned(),
                at: at(1000),
                corrected_at: end.and_then(at),
                ..Drift::default()
            })
        };
        let attempt = |number, user: &str, verdict: &str| {
            let [user, manager, verdict] = [user, "helm", verdict].map(str::to_owned);
            Entry::Attempt(Attempt { user, manager, verdict, ..Attempt::default() }, number)
        };
        for (name, entry, expected) in [
            ("a lasting count", change(3, "replicas"), ["change 3", "alice ", "sale"]),
            ("an override", change(4, "override"), ["change 4: override", "alice ", "sale"]),
            ("an older server", change(0, ""), ["change", "alice ", "sale"]),
            ("open", drift(12, "Update", "scale", None), ["drift 12", "bob (helm, Update of scale)", "not corrected"]),
            ("soon", drift(12, "Apply", "", Some(1012)), ["drift 12", "bob (helm, Apply)", "corrected after 12ms"]),
            ("seconds", drift(12, "", "", Some(10_999)), ["drift 12", "bob (helm)", "corrected after 9999ms"]),
            ("late", drift(0, "", "", Some(201_000)), ["drift", "bob (helm)", "corrected after 3m20s"]),
            ("clock set back", drift(1, "", "", Some(0)), ["drift 1", "bob (helm)", "corrected after 0ms"]),
            ("refused", attempt(5, "", "denied"), ["attempt 5", "a program (helm)", "denied"]),
            (
                "kept",
                attempt(1, "bob", "kept"),
                ["attempt 1", "bob (helm)", "the count was kept, and the rest was stored"],
            ),
        ] {
            assert_eq!([what(&entry), who(&entry), reason(&entry)], expected, "{name}");
        }
    }

    #[test]
    fn the_first_entry_of_a_kind_says_what_is_no_longer_kept() {
        let entries = [
            Entry::Drift(Drift::default()),
            Entry::Change(Change::default()),
            Entry::Drift(Drift::default()),
            Entry::Change(Change::default()),
            Entry::Attempt(Attempt::default(), 5),
        ];
        let attempts = Some("attempts 1-4");
        for (dropped, expected) in [
            (Dropped { changes: 0, drifts: 0 }, [None, None, None, None, attempts]),
            (Dropped { changes: 1, drifts: 0 }, [None, Some("change 1"), None, None, attempts]),
            (Dropped { changes: 12, drifts: 40 }, [Some("drifts 1-40"), Some("changes 1-12"), None, None, attempts]),
        ] {
            let said: Vec<_> = with_dropped(&entries, dropped).map(|(said, _)| said).collect();
            assert_eq!(said, expected.map(|said| said.map(str::to_owned)), "{dropped:?}");
        }
    }
}
