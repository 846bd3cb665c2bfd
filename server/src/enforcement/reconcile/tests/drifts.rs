//! What is a drift, and when it ends.

use super::*;

#[test]
fn a_drift_is_a_change_by_somebody_else_to_another_count() {
    struct Row {
        name: &'static str,
        /// The count before, and the state now; the desired count is 3.
        before: i32,
        now: TargetFixture,
        expected: Option<ShortDrift<'static>>,
    }
    let scale = |from, to| Some(("kubectl", "Update", "scale", Some(from), Some(to)));
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
        Row {
            name: "under the name of this server",
            before: 3,
            now: target(5, 7).scaled_by("replica-count-manager"),
            expected: Some(("replica-count-manager", "Update", "scale", Some(3), Some(7))),
        },
        Row {
            name: "without a trace",
            before: 3,
            now: target(5, 7),
            expected: Some(("unknown", "", "", Some(3), Some(7))),
        },
        Row {
            name: "by an apply",
            before: 3,
            now: target(5, 7).applied_by("helm", 1, true),
            expected: Some(("helm", "Apply", "", Some(3), Some(7))),
        },
        Row {
            name: "removed",
            before: 3,
            now: target(5, 7).without_count(),
            expected: Some(("unknown", "", "", Some(3), None)),
        },
        Row {
            name: "a new object of the same name, without a count",
            before: 3,
            now: target(5, 7).uid("another").without_count(),
            expected: None,
        },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(4, 3));
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
    assert_eq!(short(decision.drift.as_ref()), Some(("kubectl", "Update", "scale", Some(3), Some(7))));
    assert_eq!(decision.drift.unwrap().at.0, at(2));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(3));
    let decision = managed.see(3, target(13, 7).scaled_by("kubectl"));
    assert_eq!(decision.drift, None, "another event of the same count");
    managed.start(3, 3);
    let decision = managed.see(3, target(14, 7).scaled_by("kubectl"));
    assert_eq!(decision.correct, None, "the correction is under way");
    let decision = managed.answer(4, CorrectionAnswer::Scaled { to: 3, stored: 3, version: 15, was_changed: true });
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
    struct Row {
        name: &'static str,
        manager: &'static str,
        second: i64,
        to: i32,
        is_drift: bool,
    }
    let ours = "replica-count-manager";
    for row in [
        Row { name: "the count of before", manager: ours, second: 60, to: 4, is_drift: false },
        Row { name: "that count, by another program", manager: "kubectl", second: 60, to: 4, is_drift: true },
        Row { name: "too late for a write of ours", manager: ours, second: 200, to: 4, is_drift: true },
        Row { name: "a count that was never desired", manager: ours, second: 60, to: 5, is_drift: true },
    ] {
        let mut managed = Managed::at(4);
        managed.see(0, target(10, 4));
        managed.set(1, json!({"replicas": 3}));
        managed.correct(1, 3, 11);
        managed.see(2, target(11, 3).scaled_by(ours));
        let decision = managed.see(row.second, target(12, row.to).scaled_by(row.manager));
        assert_eq!(corrects_to(decision.correct.as_ref()), Some(3), "{}", row.name);
        assert_eq!(decision.drift.map(|drift| drift.manager), row.is_drift.then(|| row.manager.into()), "{}", row.name);
    }
}

#[test]
fn the_first_state_of_a_term_may_be_a_write_of_the_leader_before() {
    let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 0, "conditions": []});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3}), status));
    let decision = managed.see(0, target(20, 8).scaled_by("replica-count-manager"));
    assert_eq!((decision.drift, corrects_to(decision.correct.as_ref())), (None, Some(3)));
}

#[test]
fn a_late_write_of_the_count_before_is_ours_for_two_minutes() {
    for (second, is_ours) in [(110, true), (130, false)] {
        let mut managed = Managed::at(5);
        managed.see(0, target(10, 5));
        managed.set(1, json!({"replicas": 3}));
        managed.correct(1, 3, 11);
        managed.see(1, target(11, 3).scaled_by("replica-count-manager"));
        let decision = managed.see(second, target(12, 5).scaled_by("replica-count-manager"));
        assert_eq!(decision.drift.is_none(), is_ours, "{second}");
        assert_eq!(corrects_to(decision.correct.as_ref()), Some(3), "{second}");
    }
}

#[test]
fn the_drift_of_a_target_that_was_deleted_ends_if_it_was_corrected() {
    let gone = |managed: &mut Managed, second| {
        managed.observation.target = None;
        managed.decide(second)
    };
    struct Row {
        name: &'static str,
        is_corrected: bool,
        is_gone_first: bool,
    }
    for row in [
        Row { name: "deleted before the answer", is_corrected: true, is_gone_first: true },
        Row { name: "deleted after the answer, before its state", is_corrected: true, is_gone_first: false },
        Row { name: "deleted instead", is_corrected: false, is_gone_first: true },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 4));
        managed.correct(0, 3, 11);
        managed.see(1, target(12, 7).scaled_by("kubectl"));
        managed.start(1, 3);
        if row.is_gone_first {
            assert_eq!(gone(&mut managed, 2).ended_drift, None, "{}", row.name);
        }
        if row.is_corrected {
            managed.answer(3, CorrectionAnswer::Scaled { to: 3, stored: 3, version: 13, was_changed: true });
        } else {
            let error = "not found".into();
            managed.answer(3, CorrectionAnswer::Failed { cause: Cause::Refused, error, retry_after: None });
        }
        gone(&mut managed, 4);
        let drift = managed.status(4).last_drift.unwrap();
        assert_eq!(drift.corrected_at.is_some(), row.is_corrected, "{}", row.name);
    }
}

#[test]
fn a_correction_to_0_leaves_no_owner_and_is_no_drift() {
    for (name, echo_first) in [("the echo comes first", true), ("the answer comes first", false)] {
        let mut managed = Managed::at(0);
        managed.see(0, target(10, 3).scaled_by("kubectl"));
        managed.start(1, 0);
        // The next Set is known before the echo of the correction to 0.
        managed.set(1, json!({"replicas": 5}));
        let answer = CorrectionAnswer::Scaled { to: 0, stored: 0, version: 11, was_changed: true };
        if echo_first {
            assert_eq!(managed.see(1, target(11, 0)).drift, None, "{name}");
            managed.answer(1, answer);
        } else {
            managed.answer(1, answer);
            assert_eq!(managed.see(1, target(11, 0)).drift, None, "{name}");
        }
        let drift = managed.see(2, target(12, 2)).drift;
        assert_eq!(
            short(drift.as_ref()),
            Some(("unknown", "", "", Some(0), Some(2))),
            "{name}: that was somebody else"
        );
    }
}

#[test]
fn an_applier_that_leaves_the_count_out_is_the_actor_of_the_reset() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    let decision = managed.see(5, target(11, 1).applied_by("helm", 5, false));
    assert_eq!(short(decision.drift.as_ref()), Some(("helm", "Apply", "", Some(3), Some(1))));
    assert!(managed.status(5).appliers.is_empty());
}

#[test]
fn another_object_of_the_same_name_has_no_appliers_after_a_restart() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    let status = serde_json::to_value(managed.status(0)).unwrap();
    for (name, uid, expected) in [("the same object", "u", vec!["helm"]), ("another", "v", vec![])] {
        let mut next = Managed::with(replica_count(2, 1, json!({"replicas": 3}), status.clone()));
        let decision = next.see(1, target(12, 3).uid(uid).scaled_by("kubectl"));
        assert_eq!(next.status(1).appliers, expected, "{name}");
        assert_eq!(decision.give_back, None, "{name}");
    }
}

#[test]
fn an_actor_without_a_name_is_unknown() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let decision = managed.see(1, target(11, 7).scaled_by(""));
    assert_eq!(short(decision.drift.as_ref()), Some(("unknown", "Update", "scale", Some(3), Some(7))));
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
fn numbers_at_their_limits_stay_there() {
    let drifter = json!({"manager": "kubectl", "count": i64::MAX, "from": 3, "to": 7, "last": at(0).to_string()});
    let status = json!({"drifts": i64::MAX, "desired": 3, "observed": 3, "drifters": [drifter], "conditions": []});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3}), status));
    assert!(managed.see(1, target(u64::MAX, 7).scaled_by("kubectl")).drift.is_some());
    let status = managed.status(1);
    assert_eq!((status.drifts, status.drifters[0].count), (i64::MAX, i64::MAX));
    managed.answer_ownership(1, OwnershipAnswer::Given { version: u64::MAX });
}
