//! The end of an override, which comes once.

use super::*;

/// Held at 10 until a second. After that it is held at 3, or not at all.
fn overridden(version: u64, generation: i64, until: i64, then_unset: bool, status: Value) -> Managed {
    let over = json!({"replicas": 10, "until": at(until).to_string(), "thenUnset": then_unset});
    Managed::with(replica_count(version, generation, json!({"replicas": 3, "override": over}), status))
}

/// What the leader before has left, whose clock is a minute ahead, and what the next one makes of it.
struct Row {
    name: &'static str,
    /// Whether the leader before has ended the override, and whether the management ended with it.
    has_ended: bool,
    then_unset: bool,
    /// The generation and the end of the override that the next leader finds.
    generation: i64,
    until: i64,
    /// A field that the status does not have.
    missing: &'static str,
    expected: Option<i32>,
}

fn row(name: &'static str, expected: Option<i32>) -> Row {
    Row { name, has_ended: true, then_unset: false, generation: 1, until: 100, missing: "", expected }
}

#[test]
fn an_override_that_has_ended_does_not_come_back_with_a_leader_whose_clock_is_behind() {
    for row in [
        row("it has ended", Some(3)),
        Row { has_ended: false, ..row("it has not ended", Some(10)) },
        Row { then_unset: true, ..row("the management has ended with it", None) },
        Row { then_unset: true, has_ended: false, ..row("the management has not ended", Some(10)) },
        Row { generation: 2, until: 200, ..row("a later end was set", Some(10)) },
        Row { generation: 3, ..row("it was cleared, and set again as it was", Some(10)) },
        Row { missing: "observedSpec", ..row("the status of an older server", Some(3)) },
        Row { missing: "observedGeneration", ..row("a status that does not say of which spec it is", Some(10)) },
    ] {
        let mut before = overridden(1, 1, 100, row.then_unset, Value::Null);
        before.see(0, target(10, 10));
        if row.has_ended {
            before.decide(100);
        }
        let mut status = serde_json::to_value(before.status(100)).unwrap();
        status.as_object_mut().unwrap().remove(row.missing);
        let mut next = overridden(5, row.generation, row.until, row.then_unset, status);
        let decision = next.see(40, target(10, 10));
        assert_eq!(next.memory.desired, row.expected, "{}", row.name);
        assert_eq!(next.observation.count.desired(at(40)), row.expected, "{}: other readers of the status", row.name);
        if row.generation == 1 {
            assert!(decision.changes.is_empty(), "{}: {:?}", row.name, decision.changes);
            let ends = row.expected == Some(10) && !row.then_unset;
            assert_eq!(next.decide(101).changes.len(), usize::from(ends), "{}: its end", row.name);
        }
    }
}

#[test]
fn an_override_that_has_ended_does_not_come_back_with_a_clock_that_is_set_back() {
    let mut managed = overridden(1, 1, 100, false, Value::Null);
    managed.see(0, target(10, 10));
    assert_eq!(changes(&managed.decide(100)), [("override", Some(10), 3)]);
    let decision = managed.decide(40);
    assert_eq!((decision.assessment, changes(&decision)), (Assessment::Correct(3), vec![]));
    assert!(managed.decide(101).changes.is_empty(), "it ends once");
    let decision = managed.set(41, json!({"replicas": 3}));
    assert!(decision.changes.is_empty(), "it had ended before it was cleared");
    let over = json!({"replicas": 10, "until": at(100).to_string()});
    let decision = managed.set(42, json!({"replicas": 3, "override": over}));
    assert_eq!(changes(&decision), [("override", Some(3), 10)], "somebody sets it again");
    assert_eq!(managed.memory.desired, Some(10));
}

#[test]
fn an_override_that_another_server_has_ended_does_not_come_back() {
    for (name, ended_here, ended_there, expected) in [
        ("by neither", false, false, 10),
        ("by the other one", false, true, 3),
        ("by this one", true, false, 3),
        ("by both", true, true, 3),
    ] {
        let mut managed = overridden(1, 1, 100, false, Value::Null);
        managed.see(0, target(10, 10));
        let mut other = managed.status(0);
        if ended_here {
            managed.decide(100);
        }
        (other.drifts, other.desired) = (7, Some(if ended_there { 3 } else { 10 }));
        managed.answer_status(40, StatusAnswer::Refused { status: Arc::new(other), version: 9 });
        managed.decide(40);
        assert_eq!(managed.memory.desired, Some(expected), "{name}");
    }
}
