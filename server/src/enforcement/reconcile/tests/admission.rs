//! Corrections that admission changes.

use super::*;

/// The reason and the message of the condition `Ready`.
fn ready(managed: &Managed, second: i64) -> (String, String) {
    let ready = managed.status(second).conditions.swap_remove(0);
    (ready.reason.to_string(), ready.message.to_string())
}

/// Held at 1, at 3 so far, and admission stores 2 instead of 1.
fn changed() -> Managed {
    let mut managed = Managed::at(1);
    managed.see(0, target(10, 3));
    managed.correct_changed(0, 1, 2, 11);
    managed
}

#[test]
fn a_count_that_admission_changed_is_not_put_back() {
    let mut managed = Managed::at(1);
    managed.see(0, target(10, 1));
    managed.see(1, target(11, 3).scaled_by("kubectl"));
    let decision = managed.correct_changed(1, 1, 2, 12);
    assert_eq!((decision.ended_drift, decision.events.put_back, decision.drift), (None, None, None));
    let announced = decision.events.changed_count.unwrap();
    assert_eq!((announced.sent, announced.stored), (1, 2));
    let (reason, message) = ready(&managed, 1);
    assert_eq!(reason, "CountChangedByAdmission");
    assert!(message.starts_with("admission stored 2 replicas instead of 1: "), "{message}");
    let decision = managed.see(2, target(12, 2).scaled_by("replica-count-manager"));
    assert_eq!((decision.drift, decision.events.changed_count), (None, None), "the echo");
    let decision = managed.correct(60, 1, 20);
    assert_eq!(decision.events.put_back, Some(("kubectl".to_owned(), 1)), "once the policy is gone");
    assert_eq!((ready(&managed, 60).0, managed.memory.is_failing), ("ScalingDown".to_owned(), false));
}

#[test]
fn a_count_that_admission_changed_is_tried_again() {
    let tries = |decision: Decision| corrects_to(decision.correct.as_ref());
    let mut managed = changed();
    assert_eq!(tries(managed.see(0, target(11, 2).scaled_by("replica-count-manager"))), None, "its own echo");
    let decision = managed.decide(0);
    let pause = decision.requeue_after.unwrap();
    assert!(pause <= Duration::from_millis(50), "{pause:?}");
    assert_eq!(tries(managed.decide(1)), Some(1), "after the pause");
    for _ in 0..20 {
        managed.correct_changed(1, 1, 2, 11);
    }
    let pause = managed.decide(1).requeue_after.unwrap();
    assert!(pause >= Duration::from_secs(150), "the pauses grow to minutes: {pause:?}");
    assert_eq!(tries(managed.decide(70)), None);
    assert_eq!(tries(managed.see(70, target(12, 2))), Some(1), "the target has changed");
    managed.correct_changed(70, 1, 2, 12);
    assert_eq!(tries(managed.decide(70)), None, "nothing has changed since");
    assert_eq!(tries(managed.set(70, json!({"replicas": 0}))), Some(0), "the spec has changed");
}

#[test]
fn a_target_that_changes_without_end_is_tried_at_a_bounded_pace() {
    let mut managed = changed();
    let mut tries = 0;
    for second in 0..60 {
        for event in 0..10 {
            let version = 100 + 10 * u64::try_from(second).unwrap() + event;
            if managed.see(second, target(version, 2)).correct.is_some() {
                tries += 1;
                managed.correct_changed(second, 1, 2, version);
            }
        }
    }
    assert!((15..=25).contains(&tries), "{tries}");
}

#[test]
fn a_changed_write_is_never_a_drift_by_this_server() {
    struct Row {
        name: &'static str,
        stored: i32,
        state: TargetFixture,
        answer: CorrectionAnswer,
    }
    let ours = |replicas| target(12, replicas).scaled_by("replica-count-manager");
    let stored = |stored| CorrectionAnswer::Scaled { to: 3, stored, version: 12, was_changed: true };
    let lost = CorrectionAnswer::Failed { cause: Cause::NoAnswer, error: "no answer".into(), retry_after: None };
    for row in [
        Row { name: "its state comes before its answer", stored: 2, state: ours(2), answer: stored(2) },
        Row { name: "without an answer", stored: 2, state: ours(2), answer: lost },
        Row { name: "a 0, which has no owner", stored: 0, state: target(12, 0), answer: stored(0) },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        managed.see(1, target(11, 7).scaled_by("kubectl"));
        managed.start(1, 3);
        let before = managed.see(1, row.state).drift;
        let after = managed.answer(1, row.answer).drift;
        assert_eq!((before, after), (None, None), "{}", row.name);
        assert_eq!(managed.memory.observed, Some(row.stored), "{}", row.name);
    }
}

#[test]
fn a_late_write_of_this_server_may_have_the_count_that_admission_stored() {
    for (name, count, expected) in [
        ("the count that admission stored the last time", 2, None),
        (
            "another one, which somebody else wrote under this name",
            4,
            Some(("replica-count-manager", "Update", "scale", Some(7), Some(4))),
        ),
    ] {
        let mut managed = changed();
        managed.see(0, target(11, 2).scaled_by("replica-count-manager"));
        managed.see(1, target(12, 7).scaled_by("kubectl"));
        let drift = managed.see(2, target(13, count).scaled_by("replica-count-manager")).drift;
        assert_eq!(short(drift.as_ref()), expected, "{name}");
    }
}

#[test]
fn a_0_by_somebody_else_during_a_correction_is_a_drift_once_its_answer_says_so() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    managed.start(1, 3);
    assert_eq!(managed.see(1, target(13, 0)).drift, None, "it may be ours");
    let answer = CorrectionAnswer::Scaled { to: 3, stored: 3, version: 12, was_changed: true };
    let decision = managed.answer(1, answer);
    assert_eq!(short(decision.drift.as_ref()), Some(("unknown", "", "", Some(7), Some(0))));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(3));
}
