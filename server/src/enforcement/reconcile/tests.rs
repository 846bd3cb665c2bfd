mod admission;
mod changes;
mod contention;
mod drift_ends;
mod drifts;
mod overrides;
mod readiness;
mod removals;
mod restoring;
mod statuses;
mod users;

use std::{cell::Cell, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    enforcement::{
        assessment::Assessment,
        decision::{Correction, Decision},
        failure::Cause,
        fixtures::{Managed, TargetFixture, at, replica_count, target},
        reconcile::earliest,
        writes::{CorrectionAnswer, OwnershipAnswer, StatusAnswer},
    },
    index::KindState,
    resources::{Drift, ReplicaCountStatus, TargetKind},
};

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a call of [`super::reconcile`] on this thread.
pub(super) fn count_call() {
    CALLS.set(CALLS.get() + 1);
}

/// How often [`super::reconcile`] was called on this thread.
pub(in crate::enforcement) fn calls() -> usize {
    CALLS.get()
}

/// A drift in short: actor, operation, subresource, from, to.
type ShortDrift<'a> = (&'a str, &'a str, &'a str, Option<i32>, Option<i32>);

fn short(drift: Option<&Drift>) -> Option<ShortDrift<'_>> {
    drift.map(|drift| (&*drift.manager, &*drift.operation, &*drift.subresource, drift.from, drift.to))
}

/// The count that a decision corrects to.
fn corrects_to(correction: Option<&Correction>) -> Option<i32> {
    match correction {
        Some(Correction::Scale { to, .. }) => Some(*to),
        _ => None,
    }
}

/// The changes of a decision in short: field, from, to.
fn changes(decision: &Decision) -> Vec<(&str, Option<i32>, i32)> {
    decision.changes.iter().map(|change| (&*change.field, change.from, change.to)).collect()
}

#[test]
fn a_state_that_predates_the_correction_starts_no_other() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 7));
    managed.correct(1, 3, 12);
    let decision = managed.see(2, target(11, 7));
    assert_eq!((decision.assessment, decision.correct), (Assessment::InPlace, None));
    let decision = managed.see(3, target(13, 7).scaled_by("kubectl"));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(3));
}

#[test]
fn the_management_ends_with_an_override_that_says_so() {
    let over = json!({"replicas": 9, "until": at(10).to_string(), "thenUnset": true});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "override": over}), Value::Null));
    managed.see(0, target(10, 9));
    let decision = managed.decide(10);
    assert_eq!((decision.assessment, changes(&decision), decision.drift.clone()), (Assessment::Unset, vec![], None));
    assert!(matches!(decision.correct, Some(Correction::Unset { .. })));
    let decision = managed.see(11, target(11, 2).scaled_by("kubectl"));
    assert_eq!(decision.drift, None, "nothing is desired any more");
    assert_eq!(managed.ready(11), "OverrideEnded");
    let version = managed.observation.count.resource_version;
    let decision = managed.answer(11, CorrectionAnswer::Outdated { version });
    assert_eq!(decision.correct, None, "the spec has changed, and its event comes");
    let mut newer = (*managed.observation.count).clone();
    newer.resource_version += 1;
    managed.observation.count = Arc::new(newer);
    assert!(matches!(managed.decide(11).correct, Some(Correction::Unset { .. })), "the newer state ends, too");
    let decision = managed.answer(12, CorrectionAnswer::Unset);
    assert_eq!(decision.correct, None, "one deletion is enough");
    // A finalizer keeps the object. Whatever its spec says then, it manages nothing any more.
    managed.set(13, json!({"replicas": 4}));
    Arc::make_mut(&mut managed.observation.count).deleting = true;
    let decision = managed.see(14, target(12, 7).scaled_by("kubectl"));
    assert_eq!((decision.assessment, decision.drift, decision.correct), (Assessment::Await, None, None));
    assert_eq!(managed.ready(14), "ReplicaCountTerminating");
}

#[test]
fn an_override_ends_by_the_wall_clock_and_only_once_later_specs_are_known() {
    let over = |end| json!({"replicas": 9, "until": at(end).to_string(), "reason": "sale"});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "override": over(1000)}), Value::Null));
    let decision = managed.see(0, target(10, 9));
    assert_eq!(decision.requeue_after, Some(Duration::from_secs(60)), "the clock is looked at again before the end");
    // A state of before the end is handled after it, while a spec with a later end waits.
    let decision = managed.reconcile(1001);
    assert_eq!((changes(&decision), decision.assessment), (vec![], Assessment::InPlace));
    assert_eq!(decision.requeue_after, Some(Duration::ZERO), "a timer decides");
    let decision = managed.set(999, json!({"replicas": 3, "override": over(2000)}));
    assert_eq!(changes(&decision), [("override", Some(9), 9)], "it was prolonged");
    assert_eq!(managed.decide(1001).changes, [], "the timer finds the later end");
    assert_eq!(changes(&managed.decide(2000)), [("override", Some(9), 3)]);
}

#[test]
fn the_next_decision_is_due_at_the_earliest_of_three_ends() {
    let over = json!({"replicas": 9, "until": at(60).to_string()});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "override": over}), Value::Null));
    assert_eq!(managed.see(0, target(10, 9)).requeue_after, Some(Duration::from_secs(60)), "the override's");
    let mut managed = Managed::at(3);
    assert_eq!(managed.see(0, target(10, 3)).requeue_after, None);
    for step in 0..3 {
        managed.see(step, target(11 + step.unsigned_abs() * 2, 7 + i32::try_from(step).unwrap()).scaled_by("helm"));
    }
    assert_eq!(managed.decide(2).requeue_after, Some(Duration::from_secs(600)), "the contention's");
    let failed = CorrectionAnswer::Failed {
        cause: Cause::ApiServer,
        error: "no".into(),
        retry_after: Some(Duration::from_secs(2)),
    };
    managed.start(2, 3);
    let decision = managed.answer(2, failed);
    assert_eq!((decision.correct, decision.requeue_after), (None, Some(Duration::from_secs(2))), "the pause's");
    assert_eq!(earliest(None, None), None);
}

#[test]
fn a_failed_correction_is_tried_again_after_its_pause() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 7).scaled_by("kubectl"));
    managed.start(0, 3);
    let failed = || CorrectionAnswer::Failed { cause: Cause::ApiServer, error: "denied".into(), retry_after: None };
    let decision = managed.answer(0, failed());
    let pause = decision.requeue_after.unwrap();
    assert!(pause >= Duration::from_millis(25) && pause <= Duration::from_millis(50), "{pause:?}");
    assert_eq!((managed.ready(0).as_str(), decision.correct), ("CorrectionFailed", None));
    assert_eq!(managed.memory.correction_failure.as_ref().unwrap().attempts, 1);
    let decision = managed.see(0, target(11, 8).scaled_by("kubectl"));
    assert_eq!(decision.correct, None, "an event does not make it sooner");
    assert_eq!(corrects_to(managed.decide(1).correct.as_ref()), Some(3));
    managed.see(2, target(12, 3).scaled_by("kubectl"));
    assert!(managed.memory.correction_failure.is_none(), "nothing is left to correct");
}

#[test]
fn ownership_is_given_back_once_the_count_is_in_place() {
    let mut managed = Managed::at(3);
    let seen = managed.see(0, target(10, 3).applied_by("helm", 0, true));
    assert_eq!(seen.give_back, None, "the applier owns the count");
    let drifted = managed.see(1, target(11, 7).applied_by("helm", 0, false).scaled_by("kubectl"));
    assert_eq!(drifted.give_back, None, "the count is not in place");
    assert_eq!(managed.correct(2, 3, 12).give_back, None, "the state predates the correction");
    let echo = || target(12, 3).applied_by("helm", 0, false).scaled_by("replica-count-manager");
    let give_back = managed.see(3, echo()).give_back.unwrap();
    assert_eq!(give_back.recipients[0].manager.as_ref(), "helm");
    assert_eq!(give_back.after, Duration::ZERO);
    let failed = managed.answer_ownership(3, OwnershipAnswer::Failed { cause: Cause::ApiServer, error: "busy".into() });
    assert_eq!(failed.give_back.unwrap().after, Duration::from_secs(2));
    let again = managed.answer_ownership(5, OwnershipAnswer::Failed { cause: Cause::ApiServer, error: "busy".into() });
    assert_eq!(again.give_back.unwrap().after, Duration::from_secs(4));
    assert_eq!(managed.answer_ownership(9, OwnershipAnswer::Given { version: 12 }).give_back, None);
    assert_eq!(managed.see(10, echo()).give_back, None, "that state predates the patch");
    let later = target(13, 3).applied_by("helm", 0, false).scaled_by("replica-count-manager");
    assert!(managed.see(11, later).give_back.is_some(), "somebody took it again");
}

#[test]
fn an_apply_during_a_give_back_is_decided_about_once_its_state_is_seen() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    managed.see(1, target(11, 7).applied_by("helm", 0, false).scaled_by("kubectl"));
    managed.correct(2, 3, 12);
    let echo = target(12, 3).applied_by("helm", 0, false).scaled_by("replica-count-manager");
    assert!(managed.see(3, echo).give_back.is_some());
    // Meanwhile helm has applied without the count, by force.
    let outdated = managed.answer_ownership(4, OwnershipAnswer::Outdated { version: 13 });
    assert_eq!(outdated.give_back, None, "the state with the apply is still to come");
    let shown = target(13, 3).applied_by("helm", 3, false);
    let give_back = managed.see(5, shown).give_back.unwrap();
    assert!(give_back.recipients.is_empty(), "helm has left the count out: {give_back:?}");
}

#[test]
fn ownership_is_given_back_while_a_finalizer_keeps_the_object() {
    let taken = |version| target(version, 3).applied_by("helm", 0, false).scaled_by("replica-count-manager");
    for (name, seen, expected) in [
        ("the state predates the correction", target(11, 7).applied_by("helm", 0, false).scaled_by("kubectl"), false),
        ("taken from the applier", taken(12), true),
        ("with another count by now", target(13, 5).applied_by("helm", 0, false).scaled_by("kubectl"), false),
        ("the applier has it", target(13, 3).applied_by("helm", 3, true), false),
        ("the applier has left it out", target(13, 3).applied_by("helm", 3, false), false),
        ("the target is being deleted", taken(13).deleting(), false),
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3).applied_by("helm", 0, true));
        managed.see(1, target(11, 7).applied_by("helm", 0, false).scaled_by("kubectl"));
        managed.correct(2, 3, 12);
        Arc::make_mut(&mut managed.observation.count).deleting = true;
        let decision = managed.see(3, seen);
        assert_eq!((decision.assessment, decision.give_back.is_some()), (Assessment::Await, expected), "{name}");
    }
}

#[test]
fn ownership_stays_where_the_kind_is_not_watched() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    assert!(managed.decide(0).give_back.is_some(), "a count without an owner gets one");
    managed.observation.kind = KindState::Unlisted;
    assert_eq!(managed.decide(1).give_back, None);
}
