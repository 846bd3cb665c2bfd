//! Who changed the spec, and what.

use super::*;
use crate::{
    index::UnreportedState,
    resources::{OverrideWriters, ReplicaCountState, SpecWriters},
};

/// Changes in short: field, from, to, author, reason.
fn short_changes(decision: &Decision) -> Vec<(&str, Option<i32>, i32, &str, &str)> {
    let short = decision.changes.iter().map(|one| (&*one.field, one.from, one.to, &*one.by, &*one.reason));
    short.collect()
}

/// A new spec by these writers of the lasting count, the override and the reason; the last one wrote last.
fn write(managed: &mut Managed, second: i64, spec: Value, writers: [&str; 3], latest: &str) -> Decision {
    let count = &managed.observation.count;
    let (version, generation) = (count.resource_version + 1, count.generation.unwrap() + 1);
    let status = serde_json::to_value(&*count.status).unwrap();
    let count = (*replica_count(version, generation, spec, status)).clone();
    let [replicas, over, reason] = writers.map(Arc::<str>::from);
    let [until, why, then_unset] = [over.clone(), over.clone(), over.clone()];
    let override_ = OverrideWriters { replicas: over, until, reason: why, then_unset };
    let latest = (latest.into(), Some(second));
    let writers = SpecWriters { replicas, reason, override_, set_by: "dave".into(), latest };
    managed.observation.count = Arc::new(ReplicaCountState { writers, ..count });
    managed.decide(second)
}

fn over(replicas: i32, second: i64, reason: &str) -> Value {
    json!({"replicas": replicas, "until": at(second).to_string(), "reason": reason})
}

struct Row {
    name: &'static str,
    spec: Value,
    writers: [&'static str; 3],
    latest: &'static str,
    expected: Vec<(&'static str, Option<i32>, i32, &'static str, &'static str)>,
}

fn changes_of_counts() -> [Row; 4] {
    [
        Row {
            name: "another lasting count",
            spec: json!({"replicas": 4, "reason": "load"}),
            writers: ["argocd-controller", "", "argocd-controller"],
            latest: "argocd-controller",
            expected: vec![("replicas", Some(3), 4, "argocd-controller", "load")],
        },
        Row {
            name: "an override by a person, of a count that Argo CD keeps",
            spec: json!({"replicas": 4, "reason": "load", "override": over(9, 100, "sale")}),
            writers: ["argocd-controller", "bob", "argocd-controller"],
            latest: "bob",
            expected: vec![("override", Some(4), 9, "bob", "sale")],
        },
        Row {
            name: "the lasting count under an override",
            spec: json!({"replicas": 5, "reason": "load", "override": over(9, 100, "sale")}),
            writers: ["argocd-controller", "bob", "argocd-controller"],
            latest: "argocd-controller",
            expected: vec![("replicas", Some(4), 5, "argocd-controller", "load")],
        },
        Row {
            name: "a reason alone",
            spec: json!({"replicas": 5, "reason": "other", "override": over(9, 100, "sale")}),
            writers: ["argocd-controller", "bob", "kubectl-edit"],
            latest: "kubectl-edit",
            expected: vec![("reason", Some(5), 5, "kubectl-edit", "other")],
        },
    ]
}

fn changes_of_reasons() -> [Row; 4] {
    [
        Row {
            name: "the reason of the override",
            spec: json!({"replicas": 5, "reason": "other", "override": over(9, 100, "party")}),
            writers: ["argocd-controller", "carol", "kubectl-edit"],
            latest: "carol",
            expected: vec![("reason", Some(9), 9, "carol", "party")],
        },
        Row {
            name: "a longer override",
            spec: json!({"replicas": 5, "reason": "other", "override": over(9, 200, "party")}),
            writers: ["argocd-controller", "carol", "kubectl-edit"],
            latest: "carol",
            expected: vec![("override", Some(9), 9, "carol", "party")],
        },
        Row {
            name: "a lasting count that clears the override",
            spec: json!({"replicas": 6, "reason": "new"}),
            writers: ["alice", "", "alice"],
            latest: "alice",
            expected: vec![("replicas", Some(5), 6, "alice", "new"), ("override", Some(9), 6, "alice", "new")],
        },
        Row {
            name: "the reason is gone",
            spec: json!({"replicas": 6}),
            writers: ["alice", "", ""],
            latest: "helm",
            expected: vec![("reason", Some(6), 6, "helm", "")],
        },
    ]
}

#[test]
fn every_change_of_the_spec_names_its_field_author_and_reason() {
    let mut managed = Managed::at(3);
    let first = managed.see(0, target(10, 3));
    assert_eq!(short_changes(&first), [("replicas", None, 3, "alice", "")]);
    assert_eq!(managed.decide(1).changes, [], "nothing has changed");
    for (second, row) in (2..).zip(changes_of_counts().into_iter().chain(changes_of_reasons())) {
        let decision = write(&mut managed, second, row.spec, row.writers, row.latest);
        assert_eq!(short_changes(&decision), row.expected, "{}", row.name);
    }
    let numbers: Vec<_> = managed.status(9).changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn the_end_of_an_override_has_no_author() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    write(&mut managed, 1, json!({"replicas": 3, "override": over(9, 100, "")}), ["alice", "bob", ""], "bob");
    let ended = managed.decide(100);
    assert_eq!(short_changes(&ended), [("override", Some(9), 3, "", "the override ended")]);
    assert_eq!(managed.decide(101).changes, []);
    let cleared = write(&mut managed, 102, json!({"replicas": 3}), ["alice", "", ""], "alice");
    assert_eq!(cleared.changes, [], "it had ended before");
}

#[test]
fn an_author_who_leaves_no_trace_is_unknown() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    write(&mut managed, 1, json!({"replicas": 3, "override": over(9, 100, "")}), ["alice", "bob", ""], "bob");
    // kubectl edit removes the override: a removed field has no owner, and no entry changes.
    let count = (*managed.observation.count).clone();
    let mut spec = count.spec.clone();
    spec.override_ = None;
    let generation = count.generation.map(|generation| generation + 1);
    managed.observation.count = Arc::new(ReplicaCountState { spec, generation, ..count });
    let cleared = managed.decide(2);
    assert_eq!(short_changes(&cleared), [("override", Some(9), 3, "unknown", "the override was cleared")]);
}

#[test]
fn a_user_who_removes_a_field_by_a_call_is_named_within_the_same_second() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    write(&mut managed, 1, json!({"replicas": 3, "override": over(9, 100, "")}), ["alice", "bob", ""], "alice");
    // The call writes as the same manager, so its entry looks the same.
    let count = (*managed.observation.count).clone();
    let mut spec = count.spec.clone();
    spec.override_ = None;
    let (generation, set_at) = (count.generation.map(|generation| generation + 1), Some(at(1)));
    managed.observation.count = Arc::new(ReplicaCountState { spec, generation, set_at, ..count });
    let cleared = managed.decide(1);
    assert_eq!(short_changes(&cleared), [("override", Some(9), 3, "dave", "the override was cleared")]);
}

#[test]
fn a_restored_count_is_changed_by_the_user_who_asked_for_it() {
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "originalReplicas": 2}), Value::Null));
    managed.see(0, target(10, 3));
    assert_eq!(short_changes(&managed.restore(1, "carol")), [("replicas", Some(3), 2, "carol", "")]);
}

#[test]
fn an_override_that_is_made_to_end_names_who_did_it() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    write(&mut managed, 1, json!({"replicas": 3, "override": over(9, 100, "")}), ["alice", "bob", ""], "bob");
    let ended =
        write(&mut managed, 20, json!({"replicas": 3, "override": over(9, 10, "")}), ["alice", "eve", ""], "eve");
    assert_eq!(short_changes(&ended), [("override", Some(9), 3, "eve", "")]);
    assert_eq!(managed.decide(21).changes, []);
}

#[test]
fn changes_that_this_replica_watched_before_its_term_are_recorded_one_by_one() {
    let mut before = Managed::at(3);
    before.see(0, target(10, 3));
    let status = serde_json::to_value(before.status(0)).unwrap();
    let state = |generation: i64, spec| replica_count(4 + generation.unsigned_abs(), generation, spec, status.clone());
    let states = [
        (2, json!({"replicas": 5, "reason": "load"})),
        (3, json!({"replicas": 5, "reason": "load", "override": over(9, 50, "sale")})),
        (5, json!({"replicas": 4})),
    ]
    .map(|(generation, spec)| UnreportedState { count: state(generation, spec), at: at(generation) });
    let mut next = Managed::with(states[2].count.clone());
    let mut all = states.to_vec();
    // An event brings this one.
    all.push(UnreportedState { count: state(6, json!({"replicas": 8})), at: at(6) });
    next.memory.replay(&next.observation, all);
    assert_eq!(next.see(20, target(11, 3)).changes, [], "they are recorded");
    let status = next.status(20);
    let recorded: Vec<_> =
        status.changes.iter().map(|one| (one.number, &*one.field, one.to, &*one.by, one.at.0)).collect();
    assert_eq!(
        recorded,
        [
            (4, "spec", 4, "several, unseen", at(5)),
            (3, "override", 9, "unknown", at(3)),
            (2, "replicas", 5, "alice", at(2)),
            (1, "replicas", 3, "alice", at(0)),
        ]
    );
    assert_eq!(status.observed_generation, Some(5));
}

#[test]
fn a_change_that_no_leader_saw_is_recorded_by_the_next_one() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let status = serde_json::to_value(managed.status(0)).unwrap();
    for (name, generation, expected) in [
        ("no change", 1, vec![]),
        ("one", 2, vec![("replicas", Some(3), 5, "alice", "load")]),
        ("several", 4, vec![("replicas", Some(3), 5, "several, unseen", "load")]),
        ("several, back to the first", 5, vec![("spec", Some(3), 3, "several, unseen", "")]),
        ("several, of several fields", 6, vec![("spec", Some(3), 9, "several, unseen", "sale")]),
    ] {
        let spec = match generation {
            1 | 5 => json!({"replicas": 3}),
            6 => json!({"replicas": 5, "override": over(9, 100, "sale")}),
            _ => json!({"replicas": 5, "reason": "load"}),
        };
        let mut next = Managed::with(replica_count(5, generation, spec, status.clone()));
        assert_eq!(short_changes(&next.see(1, target(11, 3))), expected, "{name}");
        assert_eq!(next.status(1).changes.len(), 1 + expected.len(), "{name}");
    }
}

#[test]
fn the_status_of_an_older_server_is_gone_on_with() {
    let change = |from, to| json!({"from": from, "to": to, "by": "alice", "reason": "", "at": at(0).to_string()});
    let drift = json!({"manager": "helm", "from": 3, "to": 8, "at": at(0).to_string()});
    let status = json!({
        "observedGeneration": 2, "desired": 3, "observed": 3, "drifts": 4, "lastDrift": drift,
        "changes": [change(2, 3), change(1, 2)], "conditions": [],
    });
    let mut managed = Managed::with(replica_count(5, 3, json!({"replicas": 6}), status));
    assert_eq!(short_changes(&managed.see(1, target(11, 3))), [("replicas", Some(3), 6, "alice", "")]);
    let status = managed.status(1);
    let numbers: Vec<_> = status.changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let drifts: Vec<_> = status.recent_drifts.iter().map(|drift| (drift.number, &*drift.manager)).collect();
    assert_eq!(drifts, [(4, "helm")]);
    assert_eq!(status.last_drift.as_deref(), status.recent_drifts.first(), "so that both end together");
}
