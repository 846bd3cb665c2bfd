//! When the condition `Ready` is True.

use super::*;

/// The condition's status and reason after each state of (count, ready).
fn readiness(managed: &mut Managed, first_version: u64, states: &[(i32, i32)]) -> Vec<(String, String)> {
    let states = states.iter().zip(first_version..);
    let ready = states.map(|(&(replicas, ready), version)| {
        managed.see(1, target(version, replicas).ready(Some(ready)));
        let ready = managed.status(1).conditions.swap_remove(0);
        (ready.status.to_string(), ready.reason.to_string())
    });
    ready.collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(status, reason)| ((*status).to_owned(), (*reason).to_owned())).collect()
}

#[test]
fn a_rolling_update_with_surge_is_ready_where_enough_replicas_are() {
    let mut managed = Managed::at(3);
    let ready = readiness(&mut managed, 10, &[(3, 3), (3, 4), (3, 3), (3, 4), (3, 2), (3, 3)]);
    let (yes, no) = (("True", "InPlace"), ("False", "ReplicasNotReady"));
    assert_eq!(ready, pairs(&[yes, yes, yes, yes, no, yes]));
}

#[test]
fn a_scale_down_has_one_reason_until_it_has_ended() {
    let mut managed = Managed::at(5);
    readiness(&mut managed, 10, &[(5, 5)]);
    managed.set(1, json!({"replicas": 2}));
    managed.correct(1, 2, 99);
    assert_eq!(managed.ready(1), "ScalingDown", "at the answer, while the state of before is the latest one");
    let ready = readiness(&mut managed, 99, &[(2, 5), (2, 5), (2, 4), (2, 3), (2, 2), (2, 3)]);
    let down = ("True", "ScalingDown");
    assert_eq!(ready, pairs(&[down, down, down, down, ("True", "InPlace"), ("True", "InPlace")]));
}

#[test]
fn a_scale_down_outlives_the_leader() {
    let mut managed = Managed::at(5);
    readiness(&mut managed, 10, &[(5, 5)]);
    managed.set(1, json!({"replicas": 2}));
    managed.correct(1, 2, 99);
    readiness(&mut managed, 99, &[(2, 5)]);
    let status = serde_json::to_value(managed.status(1)).unwrap();
    let mut next = Managed::with(replica_count(9, 2, json!({"replicas": 2}), status));
    assert_eq!(readiness(&mut next, 110, &[(2, 4), (2, 2)]), pairs(&[("True", "ScalingDown"), ("True", "InPlace")]));
}

#[test]
fn replicas_that_are_missing_count_more_than_those_that_end() {
    let mut managed = Managed::at(5);
    readiness(&mut managed, 10, &[(5, 1)]);
    managed.set(1, json!({"replicas": 2}));
    managed.correct(1, 2, 99);
    let ready = readiness(&mut managed, 99, &[(2, 1), (2, 2)]);
    assert_eq!(ready, pairs(&[("False", "ReplicasNotReady"), ("True", "InPlace")]));
}
