//! The history of a target's count for programs.

use jiff::Timestamp;
use serde::Serialize;

use super::timeline::{Dropped, Entry, Timeline};
use crate::output::document::{self, Attempt, Change, Document, Drift, Target};

/// The content of a history.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    target: Target,
    managed: bool,
    /// How many older entries the server no longer keeps.
    dropped: Dropped,
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Item {
    Change(Change),
    Drift(Drift),
    /// The number counts all attempts.
    Attempt {
        number: i64,
        #[serde(flatten)]
        attempt: Attempt,
    },
    Unmanaged {
        at: Timestamp,
        note: String,
    },
}

/// The document of a history, the oldest entry first.
pub(crate) fn document(timeline: Timeline) -> Document<History> {
    let Timeline { count, entries, dropped } = timeline;
    let items = entries.into_iter().map(|entry| match entry {
        Entry::Change(change) => Item::Change(change.into()),
        Entry::Drift(drift) => Item::Drift(drift.into()),
        Entry::Attempt(attempt, number) => Item::Attempt { number, attempt: attempt.into() },
        Entry::Unmanaged(end) => Item::Unmanaged { at: end.at, note: end.note },
    });
    let managed = count.desired.is_some();
    let target = count.target.unwrap_or_default().into();
    document::of_kind("HistoryView", History { target, managed, dropped, items: items.collect() })
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1;
    use serde_json::json;

    use super::*;
    use crate::{output::history::Unmanaged, time::to_proto};

    #[test]
    fn each_entry_has_its_type() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let change = v1::Change {
            number: 2,
            field: "replicas".to_owned(),
            from: Some(3),
            to: Some(5),
            by: "alice".to_owned(),
            at: Some(to_proto(at(10))),
            ..v1::Change::default()
        };
        let drift = v1::Drift {
            number: 1,
            manager: "helm".to_owned(),
            from: Some(3),
            to: Some(1),
            at: Some(to_proto(at(5))),
            ..v1::Drift::default()
        };
        let attempt = v1::Attempt {
            user: "bob".to_owned(),
            verdict: "denied".to_owned(),
            from: Some(3),
            to: Some(9),
            at: Some(to_proto(at(7))),
            ..v1::Attempt::default()
        };
        let count = v1::ReplicaCount {
            attempts: 4,
            last_attempt: Some(attempt),
            target: Some(v1::Target { name: "web".to_owned(), ..v1::Target::default() }),
            desired: Some(5),
            changes: vec![change],
            recent_drifts: vec![drift],
            ..v1::ReplicaCount::default()
        };
        let end = Unmanaged { at: at(1), note: "no longer held".to_owned() };
        let expected = json!({
            "apiVersion": "cli.replica-count-manager.io/v1",
            "kind": "HistoryView",
            "target": {"namespace": "", "group": "", "kind": "", "name": "web"},
            "managed": true,
            "dropped": {"changes": 1, "drifts": 0},
            "items": [
                {"type": "unmanaged", "at": "1970-01-01T00:00:01Z", "note": "no longer held"},
                {"type": "drift", "number": 1, "manager": "helm", "from": 3, "to": 1, "at": "1970-01-01T00:00:05Z"},
                {
                    "type": "attempt", "number": 4, "user": "bob", "from": 3, "to": 9,
                    "at": "1970-01-01T00:00:07Z", "verdict": "denied",
                },
                {
                    "type": "change", "number": 2, "field": "replicas", "from": 3, "to": 5, "by": "alice",
                    "at": "1970-01-01T00:00:10Z",
                },
            ],
        });
        assert_eq!(serde_json::to_value(document(Timeline::new(count, vec![end]))).unwrap(), expected);
    }
}
