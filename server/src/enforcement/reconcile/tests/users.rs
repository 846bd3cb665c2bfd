//! Who made a write, as reviews show it, and which changes were prevented.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;
use crate::resources::Attempt;

#[test]
fn a_drift_names_its_user_if_a_review_fits_its_state() {
    struct Row {
        name: &'static str,
        state: TargetFixture,
        /// The version that the review has as the one before.
        reviewed: u64,
        user: &'static str,
        actor: &'static str,
    }
    let kubectl = || target(12, 7).scaled_by("kubectl");
    for row in [
        Row { name: "of this write", state: kubectl(), reviewed: 10, user: "bob", actor: "bob (kubectl)" },
        Row { name: "of an earlier write", state: kubectl(), reviewed: 9, user: "", actor: "kubectl" },
        Row {
            name: "of a 0 through /scale, which leaves no trace",
            state: target(12, 0),
            reviewed: 10,
            user: "bob",
            actor: "bob",
        },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        let drift = managed.see_reviewed(1, row.state, "bob", row.reviewed).drift.unwrap();
        assert_eq!(&*drift.user, row.user, "{}", row.name);
        let status = managed.status(1);
        assert_eq!(&*status.last_drift.unwrap().user, row.user, "{}", row.name);
        assert_eq!(&*status.drifters[0].user, row.user, "{}", row.name);
        let decision = managed.correct(2, 3, 13);
        assert_eq!(decision.events.put_back, Some((row.actor.to_owned(), 3)), "{}", row.name);
    }
}

#[test]
fn a_user_belongs_to_one_state() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see_reviewed(1, target(12, 7).scaled_by("kubectl"), "bob", 10);
    let drift = managed.see(2, target(14, 9).scaled_by("kubectl")).drift.unwrap();
    assert_eq!(&*drift.user, "", "the next write was not reviewed");
}

#[test]
fn a_change_of_the_spec_names_the_reviewed_user_whatever_the_object_says() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let by = |decision: Decision| decision.changes.iter().map(|change| change.by.to_string()).collect::<Vec<_>>();
    assert_eq!(by(managed.set(1, json!({"replicas": 4}))), ["alice"], "by the annotation");
    assert_eq!(by(managed.set_reviewed(2, json!({"replicas": 5}), "bob")), ["bob"]);
    let removed = managed.set_reviewed(3, json!({"replicas": 5, "reason": "sale"}), "carol");
    assert_eq!(by(removed), ["carol"], "a reason");
    let removed = managed.set_reviewed(4, json!({"replicas": 5}), "dan");
    assert_eq!(by(removed), ["dan"], "its removal");
    assert_eq!(by(managed.set(5, json!({"replicas": 6}))), ["alice"], "the next write was not reviewed");
}

#[test]
fn a_user_who_scales_a_replica_count_is_named_unless_more_than_its_count_has_changed() {
    for (name, spec, by) in [
        ("the count alone", json!({"replicas": 7}), "bob"),
        ("another count", json!({"replicas": 8}), "alice"),
        ("a reason as well", json!({"replicas": 7, "reason": "sale"}), "alice"),
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        let decision = managed.set_after_scale(1, spec, 7, "bob");
        assert_eq!(&*decision.changes[0].by, by, "{name}");
    }
}

#[test]
fn a_set_names_its_caller_whatever_others_have_tried_at_the_same_version() {
    for (name, reviews, by) in [
        ("reviewed as a write of this server", &[""][..], "alice"),
        ("and a write of bob, which was refused", &["bob", ""], "alice"),
        ("no review", &[], "alice"),
        ("a write of bob", &["bob"], "bob"),
        ("writes of bob and carol", &["bob", "carol"], "unknown"),
        ("and one of this server", &["bob", "carol", ""], "alice"),
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        let decision = managed.set_with_reviews(1, json!({"replicas": 4}), reviews);
        assert_eq!(&*decision.changes[0].by, by, "{name}");
    }
}

#[test]
fn a_state_with_the_count_of_the_one_before_keeps_its_user() {
    struct Row {
        name: &'static str,
        /// After bob's 0 at version 13, which may be our own until the answer.
        later: TargetFixture,
        user: &'static str,
    }
    for row in [
        Row { name: "a new status", later: target(14, 0), user: "bob" },
        Row { name: "another count", later: target(14, 9).scaled_by("kubectl"), user: "" },
        Row { name: "another object of the same name", later: target(14, 0).uid("v"), user: "" },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        managed.see(1, target(11, 7).scaled_by("kubectl"));
        managed.start(1, 3);
        managed.see(1, target(12, 3).scaled_by("replica-count-manager"));
        assert_eq!(managed.see_reviewed(1, target(13, 0), "bob", 12).drift, None, "{}: not yet", row.name);
        let later = managed.see_unreviewed(1, row.later).drift;
        let answer = CorrectionAnswer::Scaled { to: 3, stored: 3, version: 12, was_changed: true };
        let drift = later.or(managed.answer(1, answer).drift).unwrap();
        assert_eq!(&*drift.user, row.user, "{}", row.name);
    }
}

fn attempt(user: &str, to: i32, second: i64) -> Attempt {
    let at = MicroTime(at(second));
    Attempt { user: user.into(), manager: "".into(), from: Some(3), to: Some(to), at, verdict: "denied".into() }
}

#[test]
fn prevented_changes_are_reported_ten_seconds_apart() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let decision = managed.attempt(0, attempt("bob", 7, 0));
    assert_eq!(decision.attempts, Some((1, attempt("bob", 7, 0))), "the first one at once");
    assert_eq!(decision.events.guarded, Some(("bob".to_owned(), 3)));
    for (second, user) in [(1, "bob"), (4, "carol")] {
        let decision = managed.attempt(second, attempt(user, 8, second));
        assert_eq!((decision.attempts, decision.events.guarded), (None, None));
        let left = u64::try_from(10 - second).unwrap();
        assert_eq!(decision.requeue_after, Some(Duration::from_secs(left)));
        assert_eq!(managed.status(second).attempts, 1, "a status write for another reason shows no more");
    }
    let decision = managed.decide(10);
    assert_eq!(decision.attempts, Some((2, attempt("carol", 8, 4))));
    assert_eq!((managed.decide(11).attempts, managed.decide(30).attempts), (None, None), "once");
    let status = managed.status(30);
    assert_eq!((status.attempts, status.last_attempt), (3, Some(Box::new(attempt("carol", 8, 4)))));
    assert_eq!(status.drifts, 0);
}

#[test]
fn a_prevented_change_is_announced_with_the_count_that_was_held_then() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.attempt(0, attempt("bob", 7, 0));
    managed.attempt(1, attempt("carol", 8, 1));
    managed.set(2, json!({"replicas": 8}));
    assert_eq!(managed.decide(10).events.guarded, Some(("carol".to_owned(), 3)));
}

#[test]
fn prevented_changes_survive_the_leader() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.attempt(0, attempt("bob", 7, 0));
    let status = serde_json::to_value(managed.status(0)).unwrap();
    let mut next = Managed::with(replica_count(2, 1, json!({"replicas": 3}), status));
    next.see(1, target(10, 3));
    next.attempt(2, attempt("carol", 8, 2));
    let status = next.status(2);
    assert_eq!((status.attempts, status.last_attempt), (2, Some(Box::new(attempt("carol", 8, 2)))));
}
