//! What is said of a drift when it ends: whether it was put back.

use std::slice;

use super::*;

/// What happens after a drift by helm from 3 to 7, which the target shows at version 11.
struct Row {
    name: &'static str,
    /// The `ReplicaCount`, by which 3 is desired at first.
    spec: Value,
    /// What happens. The last decision is about the end.
    then: fn(&mut Managed) -> Decision,
    is_put_back: bool,
}

fn row(name: &'static str, is_put_back: bool, then: fn(&mut Managed) -> Decision) -> Row {
    Row { name, spec: json!({"replicas": 3}), then, is_put_back }
}

impl Row {
    fn spec(self, spec: Value) -> Self {
        Self { spec, ..self }
    }

    fn check(self) {
        let mut managed = Managed::with(replica_count(1, 1, self.spec, Value::Null));
        managed.see(0, target(10, 3));
        let drift = managed.see(1, target(11, 7).scaled_by("helm")).drift;
        assert_eq!(short(drift.as_ref()), Some(("helm", "Update", "scale", Some(3), Some(7))), "{}", self.name);
        let decision = (self.then)(&mut managed);
        let said = (decision.ended_drift.is_some(), decision.events.put_back.is_some());
        assert_eq!(said, (self.is_put_back, self.is_put_back), "{}: the log, the metrics and the Event", self.name);
        let status = managed.status(50);
        let last = status.last_drift.as_deref().unwrap();
        assert_eq!(last.corrected_at.is_some(), self.is_put_back, "{}", self.name);
        assert_eq!(status.recent_drifts, slice::from_ref(last), "{}: it stays in the list", self.name);
        assert_eq!((status.drifts, status.drifters[0].count), (1, 1), "{}: it was a drift", self.name);
    }
}

fn over(replicas: i32, second: i64) -> Value {
    json!({"replicas": replicas, "until": at(second).to_string()})
}

/// Another server leads from here, and has this `ReplicaCount`.
fn hand_over(managed: &mut Managed, generation: i64, spec: Value) {
    let status = serde_json::to_value(managed.status(1)).unwrap();
    *managed = Managed::with(replica_count(5, generation, spec, status));
}

#[test]
fn a_drift_is_put_back_by_a_write_of_the_count_that_is_desired_since_before() {
    for row in [
        row("by this server", true, |managed| managed.correct(2, 3, 12)),
        row("by this server, whose answer comes after its state", true, |managed| {
            managed.start(2, 3);
            managed.see(2, target(12, 3).scaled_by("replica-count-manager"))
        }),
        row("by another program", true, |managed| managed.see(2, target(12, 3).scaled_by("kubectl"))),
        row("by the same program", true, |managed| managed.see(2, target(12, 3).scaled_by("helm"))),
        row("after a Set of the same count", true, |managed| {
            managed.set(2, json!({"replicas": 3, "reason": "as before"}));
            managed.correct(3, 3, 12)
        }),
        row("after a change of the lasting count under an override", true, |managed| {
            managed.set(2, json!({"replicas": 2, "override": over(3, 100)}));
            managed.correct(3, 3, 12)
        })
        .spec(json!({"replicas": 1, "override": over(3, 100)})),
        row("after an override that ends at the same count", true, |managed| {
            managed.decide(10);
            managed.correct(11, 3, 12)
        })
        .spec(json!({"replicas": 3, "override": over(3, 10)})),
        row("by the next leader", true, |managed| {
            hand_over(managed, 1, json!({"replicas": 3}));
            managed.see(20, target(11, 7).scaled_by("helm"));
            managed.correct(20, 3, 12)
        }),
        row("before the next leader looks", true, |managed| {
            hand_over(managed, 1, json!({"replicas": 3}));
            managed.see(20, target(12, 3).scaled_by("kubectl"))
        }),
    ] {
        row.check();
    }
}

#[test]
fn a_drift_stays_as_it_is_once_another_count_is_desired() {
    for row in [
        row("a Set of its count", false, |managed| managed.set(2, json!({"replicas": 7}))),
        row("a Set of its count, and of the one before", false, |managed| {
            managed.set(2, json!({"replicas": 7}));
            managed.set(3, json!({"replicas": 3}));
            managed.correct(4, 3, 12)
        }),
        row("a Set of another count", false, |managed| {
            managed.set(2, json!({"replicas": 5}));
            managed.correct(3, 5, 12)
        }),
        row("an override of its count begins", false, |managed| {
            managed.set(2, json!({"replicas": 3, "override": over(7, 100)}))
        }),
        row("an override of another count begins", false, |managed| {
            managed.set(2, json!({"replicas": 3, "override": over(9, 100)}));
            managed.correct(3, 9, 12)
        }),
        row("an override ends, and its count is the lasting one", false, |managed| managed.decide(10))
            .spec(json!({"replicas": 7, "override": over(3, 10)})),
        row("an override ends at another count", false, |managed| {
            managed.decide(10);
            managed.correct(11, 5, 12)
        })
        .spec(json!({"replicas": 5, "override": over(3, 10)})),
        row("the management ends with an override", false, |managed| {
            managed.decide(10);
            managed.see(11, target(12, 3).scaled_by("kubectl"))
        })
        .spec(json!({"replicas": 3, "override": {"replicas": 3, "until": at(10).to_string(), "thenUnset": true}})),
        row("an Unset restores its count", false, |managed| managed.restore(2, "carol"))
            .spec(json!({"replicas": 3, "originalReplicas": 7})),
        row("the ReplicaCount is deleted and waits for a finalizer", false, |managed| {
            Arc::make_mut(&mut managed.observation.count).deleting = true;
            managed.see(2, target(12, 3).scaled_by("kubectl"))
        }),
    ] {
        row.check();
    }
}

#[test]
fn the_drift_of_a_target_that_is_gone_stays_as_it_is() {
    let gone = |managed: &mut Managed| {
        managed.observation.target = None;
        managed.decide(2)
    };
    for row in [
        row("deleted", false, gone),
        row("created again with the desired count", false, |managed| {
            managed.observation.target = None;
            managed.decide(2);
            managed.see(3, target(20, 3).uid("v"))
        }),
        row("created again before the deletion is seen", false, |managed| managed.see(3, target(20, 3).uid("v"))),
        row("created again without a leader", false, |managed| {
            hand_over(managed, 1, json!({"replicas": 3}));
            managed.see(20, target(20, 3).uid("v"))
        }),
    ] {
        row.check();
    }
}

#[test]
fn the_next_leader_knows_that_another_count_was_desired_since_a_drift() {
    for row in [
        row("a Set without a leader, of the count of the drift", false, |managed| {
            hand_over(managed, 2, json!({"replicas": 7}));
            managed.see(20, target(11, 7).scaled_by("helm"))
        }),
        row("a Set without a leader, of another count", false, |managed| {
            hand_over(managed, 2, json!({"replicas": 5}));
            managed.see(20, target(11, 7).scaled_by("helm"));
            managed.correct(20, 5, 12)
        }),
        row("a Set that the leader before has reported", false, |managed| {
            managed.set(2, json!({"replicas": 5}));
            hand_over(managed, 2, json!({"replicas": 5}));
            managed.see(20, target(11, 7).scaled_by("helm"));
            managed.correct(20, 5, 12)
        }),
        row("a Set of the count of the drift that the leader before has reported", false, |managed| {
            managed.set(2, json!({"replicas": 7}));
            hand_over(managed, 2, json!({"replicas": 7}));
            managed.see(20, target(11, 7).scaled_by("helm"))
        }),
        row("then the count of before again", false, |managed| {
            managed.set(2, json!({"replicas": 7}));
            hand_over(managed, 3, json!({"replicas": 3}));
            managed.see(20, target(11, 7).scaled_by("helm"));
            managed.correct(20, 3, 12)
        }),
    ] {
        row.check();
    }
}

#[test]
fn a_drift_is_put_back_after_it_began_whatever_the_clock_of_the_next_leader_says() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 7).scaled_by("helm"));
    hand_over(&mut managed, 1, json!({"replicas": 3}));
    managed.see(-100, target(11, 7).scaled_by("helm"));
    let ended = managed.correct(-100, 3, 12).ended_drift.unwrap();
    assert_eq!((ended.at.0, ended.corrected_at.unwrap().0), (at(1), at(1)));
}

#[test]
fn a_new_drift_can_be_put_back_although_the_one_before_was_not() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 7).scaled_by("helm"));
    managed.set(2, json!({"replicas": 7}));
    managed.see(3, target(12, 9).scaled_by("kubectl"));
    let decision = managed.correct(4, 7, 13);
    assert_eq!(decision.events.put_back, Some(("kubectl".to_owned(), 7)));
    let status = managed.status(5);
    let corrected: Vec<_> = status.recent_drifts.iter().map(|drift| drift.corrected_at.is_some()).collect();
    assert_eq!(corrected, [true, false]);
}
