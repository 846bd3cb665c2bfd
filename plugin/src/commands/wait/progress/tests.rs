use contract::replicas::v1::{Condition, Drift, Override, Synced, Target};

use super::*;
use crate::time::to_proto;

fn count(desired: Option<i32>, observed: Option<i32>, ready: Option<i32>) -> ReplicaCount {
    let target = Target { name: "web".to_owned(), ..Target::default() };
    ReplicaCount { target: Some(target), desired, observed, ready, ..ReplicaCount::default() }
}

/// The count that a Set has stored.
fn web() -> ReplicaCount {
    count(Some(3), Some(1), Some(1))
}

fn db() -> ReplicaCount {
    let target = Target { kind: "StatefulSet".to_owned(), name: "db".to_owned(), ..Target::default() };
    ReplicaCount { target: Some(target), ..web() }
}

#[test]
fn a_target_is_ready_when_its_count_is_right_and_ready() {
    let table = [
        (count(Some(3), Some(3), Some(3)), State::Ready { desired: 3 }),
        (count(Some(0), Some(0), Some(0)), State::Ready { desired: 0 }),
        (count(Some(3), Some(3), None), State::Ready { desired: 3 }),
        (count(Some(3), Some(3), Some(2)), State::Waiting { ready: 2, desired: 3, why: None }),
        (count(Some(3), Some(5), Some(3)), State::Waiting { ready: 3, desired: 3, why: None }),
        (count(Some(3), None, None), State::Missing),
        (count(None, Some(3), Some(3)), State::Unset),
    ];
    for (count, expected) in table {
        assert_eq!(state_of(&count), expected, "{count:?}");
    }
}

#[test]
fn a_target_that_disappears_fails_unless_it_may_be_missing() {
    for (allow_missing, failed) in [(false, 1), (true, 0)] {
        let mut lines = Lines::default();
        let mut wait = Wait::new(&mut lines, &[web(), db()], "", allow_missing);
        wait.handle(Event::Changed(count(Some(3), None, None).into())).unwrap();
        assert_eq!((wait.failed, wait.states.len()), (failed, 2 - failed));
    }
}

#[test]
fn a_single_target_that_disappears_is_the_error() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web()], "", false);
    let error = wait.handle(Event::Changed(count(Some(3), None, None).into())).unwrap_err();
    assert_eq!(error.to_string(), "deployment.apps/web does not exist any more");
}

#[test]
fn other_targets_do_not_matter() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[db()], "", false);
    wait.handle(Event::Changed(count(Some(3), None, None).into())).unwrap();
    assert_eq!(wait.describe_open(), ["statefulset.apps/db: not seen"]);
}

#[test]
fn a_target_outside_the_snapshot_is_no_longer_managed() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web(), db()], "", false);
    wait.handle(Event::Changed(count(Some(3), Some(3), Some(1)).into())).unwrap();
    wait.handle(Event::Synced(Synced::default())).unwrap();
    assert_eq!((wait.failed, wait.describe_open()), (1, vec!["deployment.apps/web: 1 of 3 ready".to_owned()]));
}

#[test]
fn a_target_that_ends_between_two_watches_fails() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web()], "", true);
    wait.handle(Event::Changed(count(Some(3), None, None).into())).unwrap();
    wait.handle(Event::Synced(Synced::default())).unwrap();
    wait.start_over();
    let error = wait.handle(Event::Synced(Synced::default())).unwrap_err();
    assert_eq!(error.to_string(), "deployment.apps/web is not managed any more");
}

#[test]
fn a_target_that_is_not_ready_says_why() {
    let [r#type, status, reason, message] = ["Ready", "False", "CorrectionFailed", "quota"].map(str::to_owned);
    let conditions = vec![Condition { r#type, status, reason, message, ..Condition::default() }];
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web()], "", false);
    wait.handle(Event::Changed(ReplicaCount { conditions, ..count(Some(3), Some(1), Some(1)) }.into())).unwrap();
    assert_eq!(wait.describe_open(), ["deployment.apps/web: 1 of 3 ready (CorrectionFailed: quota)"]);
}

#[test]
fn a_target_that_others_take_over_says_who() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let over = |seconds: i64| {
        let until = Some(to_proto(Timestamp::from_second(1_000_000 + seconds).unwrap()));
        ReplicaCount { r#override: Some(Override { until, ..Override::default() }), ..web() }
    };
    let seen = |desired, set_by: &str| ReplicaCount {
        set_by: set_by.to_owned(),
        ..count(Some(desired), Some(desired), Some(desired))
    };
    for (name, stored, seen, expected) in [
        ("nobody", web(), seen(3, "bob"), None),
        ("bob", web(), seen(5, "bob"), Some("was set to 5 by bob before its 3 were ready")),
        (
            "an override",
            web(),
            ReplicaCount { replicas: Some(2), r#override: Some(Override::default()), ..seen(5, "bob") },
            Some("was set to 5 by others before its 3 were ready"),
        ),
        ("unknown", web(), seen(5, ""), Some("was set to 5 by others before its 3 were ready")),
        ("during an override", over(60), seen(5, "bob"), Some("was set to 5 by bob before its 3 were ready")),
        (
            "its end",
            over(-1),
            seen(2, "tess"),
            Some("is held at 2 again: the end of the 3 has come before they were ready"),
        ),
    ] {
        assert_eq!(ExpectedCount::new(&stored).describe_takeover(&seen, now).as_deref(), expected, "{name}");
    }
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web()], "", false);
    let error = wait.handle(Event::Changed(seen(5, "bob").into())).unwrap_err();
    assert_eq!(error.to_string(), "deployment.apps/web was set to 5 by bob before its 3 were ready");
}

#[test]
fn the_reasons_of_pods_and_of_others_are_shown() {
    let [manager, user] = ["helm", "bob"].map(str::to_owned);
    let drift = Drift { manager, user, to: Some(7), ..Drift::default() };
    let drifted = ReplicaCount { last_drift: Some(drift), ..count(Some(3), Some(7), Some(1)) };
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web()], "", false);
    wait.handle(Event::Changed(drifted.into())).unwrap();
    wait.pods.insert("deployment.apps/web".to_owned(), vec!["2 pods: Pending: 0/2\nnodes".to_owned()]);
    let expected = "deployment.apps/web: 1 of 3 ready (changed to 7 by bob (helm); 2 pods: Pending: 0/2 nodes)";
    assert_eq!(wait.describe_open(), [expected]);
}

#[test]
fn a_wait_for_the_desired_counts_follows_other_ones() {
    let bob = ReplicaCount { set_by: "bob".to_owned(), ..count(Some(5), Some(1), Some(1)) };
    let ready = ReplicaCount { set_by: "bob".to_owned(), ..count(Some(5), Some(5), Some(5)) };
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[web()], "", true);
    wait.accepts_changes = true;
    wait.handle(Event::Changed(bob.into())).unwrap();
    assert_eq!(wait.describe_open(), ["deployment.apps/web: 1 of 5 ready"]);
    wait.handle(Event::Changed(ready.into())).unwrap();
    assert!(wait.is_over() && wait.failed == 0);
}

#[test]
fn targets_of_several_namespaces_are_told_apart() {
    let of = |namespace: &str, ready| {
        let target = Target { namespace: namespace.to_owned(), name: "web".to_owned(), ..Target::default() };
        ReplicaCount { target: Some(target), ..count(Some(3), Some(3), Some(ready)) }
    };
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, &[of("a", 1), of("b", 1)], "", true);
    wait.handle(Event::Changed(of("b", 3).into())).unwrap();
    wait.handle(Event::Changed(of("a", 2).into())).unwrap();
    assert_eq!(wait.describe_open(), ["deployment.apps/web in a: 2 of 3 ready"]);
}

#[test]
fn drifts_during_a_wait_are_shown_though_they_were_corrected() {
    let drifted = |drifts, corrected: bool| {
        let corrected_at = corrected.then(|| to_proto(Timestamp::UNIX_EPOCH));
        let last = Drift { manager: "helm".to_owned(), to: Some(7), corrected_at, ..Drift::default() };
        ReplicaCount { drifts, last_drift: Some(last), ..count(Some(3), Some(3), Some(1)) }
    };
    let why = |why: &str| format!("deployment.apps/web: 1 of 3 ready{why}");
    for (name, before, seen, expected) in [
        ("none", 2, drifted(2, true), why("")),
        ("one", 2, drifted(3, true), why(" (a drift during the wait, the last to 7 by helm)")),
        ("two", 0, drifted(2, true), why(" (2 drifts during the wait, the last to 7 by helm)")),
        ("not corrected", 2, drifted(3, false), why("")),
    ] {
        let mut lines = Lines::default();
        let mut wait = Wait::new(&mut lines, &[ReplicaCount { drifts: before, ..web() }], "", false);
        wait.handle(Event::Changed(seen.into())).unwrap();
        assert_eq!(wait.describe_open(), [expected], "{name}");
    }
}
