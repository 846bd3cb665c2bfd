use std::{cell::Cell, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    enforcement::{
        assessment::Assessment,
        decision::Correction,
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
fn short(drift: Option<&Drift>) -> Option<(&str, &str, &str, i32, i32)> {
    drift.map(|drift| (&*drift.manager, &*drift.operation, &*drift.subresource, drift.from, drift.to))
}

/// The count that a decision corrects to.
fn corrects_to(correction: Option<&Correction>) -> Option<i32> {
    match correction {
        Some(Correction::Scale { to, .. }) => Some(*to),
        _ => None,
    }
}

#[test]
fn a_drift_is_a_change_by_somebody_else_to_another_count() {
    struct Row {
        name: &'static str,
        /// The count before, and the state now; the desired count is 3.
        before: i32,
        now: TargetFixture,
        expected: Option<(&'static str, &'static str, &'static str, i32, i32)>,
    }
    let scale = |from, to| Some(("kubectl", "Update", "scale", from, to));
    for row in [
        Row {
            name: "away from the desired count",
            before: 3,
            now: target(5, 7).scaled_by("kubectl"),
            expected: scale(3, 7),
        },
        Row {
            name: "from one wrong count to another",
            before: 7,
            now: target(5, 9).scaled_by("kubectl"),
            expected: scale(7, 9),
        },
        Row { name: "to the desired count", before: 7, now: target(5, 3).scaled_by("kubectl"), expected: None },
        Row { name: "no change", before: 7, now: target(5, 7).scaled_by("kubectl"), expected: None },
        Row { name: "by this server", before: 3, now: target(5, 7).scaled_by("replica-count-manager"), expected: None },
        Row { name: "without a trace", before: 3, now: target(5, 7), expected: Some(("unknown", "", "", 3, 7)) },
        Row {
            name: "by an apply",
            before: 3,
            now: target(5, 7).applied_by("helm", 1, true),
            expected: Some(("helm", "Apply", "", 3, 7)),
        },
        Row { name: "to a count that cannot be read", before: 3, now: target(5, 7).without_count(), expected: None },
    ] {
        let mut managed = Managed::at(3);
        managed.memory.observed = Some(row.before);
        let decision = managed.see(0, row.now);
        assert_eq!(short(decision.drift.as_ref()), row.expected, "{}", row.name);
    }
}

#[test]
fn the_first_state_of_a_new_replica_count_is_no_drift() {
    let mut managed = Managed::at(3);
    let decision = managed.see(0, target(10, 2).scaled_by("helm"));
    assert_eq!((decision.drift, decision.assessment), (None, Assessment::Correct(3)));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(3));
    assert!(decision.status);
    assert_eq!(managed.ready(0), "Correcting");
}

#[test]
fn a_drift_goes_from_its_event_to_its_end() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let decision = managed.see(2, target(12, 7).scaled_by("kubectl"));
    assert_eq!(short(decision.drift.as_ref()), Some(("kubectl", "Update", "scale", 3, 7)));
    assert_eq!(decision.drift.unwrap().at.0, at(2));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(3));
    let decision = managed.see(3, target(13, 7).scaled_by("kubectl"));
    assert_eq!(decision.drift, None, "another event of the same count");
    managed.start(3, 3);
    let decision = managed.see(3, target(14, 7).scaled_by("kubectl"));
    assert_eq!(decision.correct, None, "the correction is under way");
    let decision = managed.answer(4, CorrectionAnswer::Scaled { to: 3, version: 15, was_changed: true });
    let ended = decision.ended_drift.unwrap();
    assert_eq!((ended.at.0, ended.corrected_at.unwrap().0), (at(2), at(4)));
    assert_eq!(decision.events.put_back, Some(("kubectl".to_owned(), 3)));
    assert_eq!((decision.assessment, decision.correct), (Assessment::InPlace, None));
    let decision = managed.see(5, target(15, 3).scaled_by("replica-count-manager"));
    assert_eq!((decision.drift, decision.ended_drift, decision.events.put_back), (None, None, None), "the echo");
    assert_eq!(managed.status(5).drifts, 1);
    assert_eq!(managed.ready(5), "InPlace");
}

#[test]
fn a_drift_also_ends_where_somebody_else_puts_the_count_back() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    let decision = managed.see(2, target(12, 3).scaled_by("kubectl"));
    assert!(decision.drift.is_none() && decision.ended_drift.is_some());
}

#[test]
fn a_late_write_of_this_server_is_corrected_and_is_no_drift() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.correct(1, 3, 11);
    let decision = managed.see(2, target(12, 4).scaled_by("replica-count-manager"));
    assert_eq!((decision.drift, corrects_to(decision.correct.as_ref())), (None, Some(3)));
}

#[test]
fn a_correction_to_0_leaves_no_owner_and_is_no_drift() {
    for (name, echo_first) in [("the echo comes first", true), ("the answer comes first", false)] {
        let mut managed = Managed::at(0);
        managed.see(0, target(10, 3).scaled_by("kubectl"));
        managed.start(1, 0);
        // The next Set is known before the echo of the correction to 0.
        managed.set(1, json!({"replicas": 5}));
        let answer = CorrectionAnswer::Scaled { to: 0, version: 11, was_changed: true };
        if echo_first {
            assert_eq!(managed.see(1, target(11, 0)).drift, None, "{name}");
            managed.answer(1, answer);
        } else {
            managed.answer(1, answer);
            assert_eq!(managed.see(1, target(11, 0)).drift, None, "{name}");
        }
        let drift = managed.see(2, target(12, 2)).drift;
        assert_eq!(short(drift.as_ref()), Some(("unknown", "", "", 0, 2)), "{name}: that was somebody else");
    }
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
fn an_applier_that_leaves_the_count_out_is_the_actor_of_the_reset() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    let decision = managed.see(5, target(11, 1).applied_by("helm", 5, false));
    assert_eq!(short(decision.drift.as_ref()), Some(("helm", "Apply", "", 3, 1)));
    assert!(managed.status(5).appliers.is_empty());
}

#[test]
fn another_object_of_the_same_name_has_no_appliers_yet() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    assert_eq!(managed.status(0).appliers, ["helm"]);
    managed.see(1, target(12, 3).uid("another"));
    assert!(managed.status(1).appliers.is_empty());
}

#[test]
fn a_change_of_the_desired_count_names_its_author_and_reason() {
    let until = at(100).to_string();
    let over = json!({"replicas": 9, "until": until, "reason": "sale"});
    let mut managed = Managed::at(3);
    let first = managed.see(0, target(10, 3)).change.unwrap();
    assert_eq!((first.from, first.to, &*first.by, &*first.reason), (None, 3, "alice", ""));
    assert_eq!(managed.decide(1).change, None);
    let set = managed.set(2, json!({"replicas": 4, "reason": "load"})).change.unwrap();
    assert_eq!((set.from, set.to, &*set.by, &*set.reason, set.at.0), (Some(3), 4, "alice", "load", at(2)));
    let overridden = managed.set(3, json!({"replicas": 4, "reason": "load", "override": over})).change.unwrap();
    assert_eq!((overridden.from, overridden.to, &*overridden.reason), (Some(4), 9, "sale"));
    let ended = managed.decide(100).change.unwrap();
    assert_eq!((ended.from, ended.to, &*ended.by, &*ended.reason), (Some(9), 4, "", "the override ended"));
    assert_eq!(managed.set(101, json!({"replicas": 4, "reason": "other"})).change, None, "the same count");
}

#[test]
fn the_management_ends_with_an_override_that_says_so() {
    let over = json!({"replicas": 9, "until": at(10).to_string(), "thenUnset": true});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "override": over}), Value::Null));
    managed.see(0, target(10, 9));
    let decision = managed.decide(10);
    assert_eq!((decision.assessment, decision.change, decision.drift), (Assessment::Unset, None, None));
    assert!(matches!(decision.correct, Some(Correction::Unset { .. })));
    let decision = managed.see(11, target(11, 2).scaled_by("kubectl"));
    assert_eq!(decision.drift, None, "nothing is desired any more");
    assert_eq!(managed.ready(11), "OverrideEnded");
    let decision = managed.answer(12, CorrectionAnswer::Unset);
    assert_eq!(decision.correct, None, "one deletion is enough");
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
    let failed = CorrectionAnswer::Failed { error: "no".into(), retry_after: Some(Duration::from_secs(2)) };
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
    let failed = || CorrectionAnswer::Failed { error: "denied".into(), retry_after: None };
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
fn contention_is_announced_once_and_ends_by_a_decision() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    for step in 1..=3u64 {
        let second = i64::try_from(step).unwrap();
        let decision = managed.see(second, target(10 + 10 * step, 7).scaled_by("helm"));
        assert_eq!(decision.contested.is_some(), step == 3, "{step}");
        assert_eq!(decision.events.contested, decision.contested, "{step}");
        managed.correct(second, 3, 11 + 10 * step);
        managed.see(second, target(11 + 10 * step, 3).scaled_by("replica-count-manager"));
    }
    let decision = managed.decide(4);
    assert_eq!(decision.contested.as_ref().map(|contested| contested.reason), Some("RepeatedDrift"));
    assert_eq!(decision.events.contested, None, "it was announced");
    assert_eq!(managed.status(4).conditions[2].status, "True");
    let decision = managed.set(5, json!({"replicas": 3, "reason": "the same count, decided again"}));
    assert_eq!((decision.contested, decision.events.contested), (None, None));
    assert_eq!(managed.status(5).conditions[2].reason, "Uncontested");
    let decision = managed.see(6, target(50, 7).scaled_by("helm"));
    assert_eq!(decision.contested, None, "it starts anew");
}

#[test]
fn an_autoscaler_contests_the_count() {
    let mut managed = Managed::at(3);
    managed.observation.autoscaler = Some("hpa".into());
    let decision = managed.see(0, target(10, 3));
    let contested = decision.events.contested.unwrap();
    assert_eq!(contested.reason, "Autoscaled");
    assert!(contested.message.contains("HorizontalPodAutoscaler hpa scales this target too"), "{}", contested.message);
    managed.observation.autoscaler = None;
    assert_eq!(managed.decide(1).contested, None);
}

#[test]
fn corrections_during_contention_keep_their_pace() {
    let mut managed = Managed::at(3);
    managed.see(0, target(1, 3));
    for step in 1..=10u64 {
        managed.see(0, target(10 * step, 7).scaled_by("helm"));
        managed.correct(0, 3, 10 * step + 1);
        managed.see(0, target(10 * step + 1, 3).scaled_by("replica-count-manager"));
    }
    let decision = managed.see(1, target(200, 7).scaled_by("helm"));
    assert_eq!((decision.correct, decision.requeue_after), (None, Some(Duration::from_secs(4))));
    assert_eq!(managed.ready(1), "Correcting");
    assert_eq!(corrects_to(managed.decide(5).correct.as_ref()), Some(3));
    let decision = managed.set(2, json!({"replicas": 4}));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(4), "a new count is put in place at once");
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
    let failed = managed.answer_ownership(3, OwnershipAnswer::Failed { error: "busy".into() });
    assert_eq!(failed.give_back.unwrap().after, Duration::from_secs(2));
    let again = managed.answer_ownership(5, OwnershipAnswer::Failed { error: "busy".into() });
    assert_eq!(again.give_back.unwrap().after, Duration::from_secs(4));
    assert_eq!(managed.answer_ownership(9, OwnershipAnswer::Given { version: 12 }).give_back, None);
    assert_eq!(managed.see(10, echo()).give_back, None, "that state predates the patch");
    let later = target(13, 3).applied_by("helm", 0, false).scaled_by("replica-count-manager");
    assert!(managed.see(11, later).give_back.is_some(), "somebody took it again");
}

#[test]
fn ownership_stays_where_the_kind_is_not_watched() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    assert!(managed.decide(0).give_back.is_some(), "a count without an owner gets one");
    managed.observation.kind = KindState::Unlisted;
    assert_eq!(managed.decide(1).give_back, None);
}

#[test]
fn a_status_of_before_stands_until_the_kind_is_listed() {
    let ready = json!({"type": "Ready", "status": "True", "reason": "InPlace", "message": "",
                       "lastTransitionTime": at(0).to_string()});
    for (name, kind, conditions, expected) in [
        ("listed", KindState::Watched(Arc::new(TargetKind::apps()[0].clone())), vec![ready.clone()], true),
        ("not listed, nothing stored", KindState::Unlisted, vec![], true),
        ("not listed, a status stored", KindState::Unlisted, vec![ready], false),
    ] {
        let status = json!({"drifts": 0, "conditions": conditions});
        let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3}), status));
        managed.observation.kind = kind;
        assert_eq!(managed.decide(1).status, expected, "{name}");
    }
}

#[test]
fn the_next_leader_goes_on_where_the_status_says() {
    let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 4, "conditions": []});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3}), status));
    let decision = managed.see(0, target(20, 8).scaled_by("helm"));
    assert_eq!(short(decision.drift.as_ref()), Some(("helm", "Update", "scale", 3, 8)));
    let status = managed.status(0);
    assert_eq!((status.drifts, status.changes), (5, vec![]));
}

#[test]
fn a_decision_made_while_nobody_led_ends_contention() {
    let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 3,
        "drifters": [{"manager": "helm", "count": 3, "from": 3, "to": 7, "last": at(0).to_string()}],
        "conditions": [{"type": "Contested", "status": "True", "reason": "RepeatedDrift",
            "message": "helm keeps changing the count: …", "lastTransitionTime": at(0).to_string()}]});
    for (name, generation, contested) in [("the same spec", 1, true), ("another spec", 2, false)] {
        let mut managed = Managed::with(replica_count(2, generation, json!({"replicas": 3}), status.clone()));
        let decision = managed.see(1, target(20, 3));
        assert_eq!(decision.contested.is_some(), contested, "{name}");
    }
}

#[test]
fn numbers_at_their_limits_stay_there() {
    let drifter = json!({"manager": "kubectl", "count": i64::MAX, "from": 3, "to": 7, "last": at(0).to_string()});
    let status = json!({"drifts": i64::MAX, "desired": 3, "observed": 3, "drifters": [drifter], "conditions": []});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3}), status));
    assert!(managed.see(1, target(u64::MAX, 7).scaled_by("kubectl")).drift.is_some());
    let status = managed.status(1);
    assert_eq!((status.drifts, status.drifters[0].count), (i64::MAX, i64::MAX));
    managed.answer_ownership(1, OwnershipAnswer::Given { version: u64::MAX });
}

#[test]
fn the_status_names_the_latest_five_actors_and_ten_changes() {
    let mut managed = Managed::at(0);
    for step in 1..=12u64 {
        let replicas = i32::try_from(step).unwrap();
        managed.set(0, json!({"replicas": replicas}));
        let manager = format!("manager-{}", step % 7);
        managed.see(0, target(2 * step, 50).scaled_by(&manager));
        managed.see(0, target(2 * step + 1, 60).scaled_by(&manager));
    }
    let status: ReplicaCountStatus = managed.status(0);
    let managers: Vec<_> = status.drifters.iter().map(|drifter| drifter.manager.as_str()).collect();
    assert_eq!(managers, ["manager-5", "manager-4", "manager-3", "manager-2", "manager-1"]);
    let changes: Vec<_> = status.changes.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(changes[..2], [(Some(11), 12), (Some(10), 11)]);
    assert_eq!((changes.len(), status.changes[0].by.as_str()), (10, "alice"));
}

#[test]
fn a_status_that_another_server_stored_is_taken_over_after_a_refusal() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    let mut other = managed.status(1);
    (other.drifts, other.drifters[0].manager) = (8, "helm".to_owned());
    managed.answer_status(2, StatusAnswer::Refused { status: Arc::new(other.clone()), version: 9 });
    let status = managed.status(2);
    assert_eq!((status.drifts, status.drifters[0].manager.as_str()), (8, "helm"));
    assert_eq!(managed.memory.stored_version, 9);
}
