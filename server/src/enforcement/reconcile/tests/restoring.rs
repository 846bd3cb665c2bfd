//! When the management ends after `unset --restore`.

use super::*;

/// Held at 3, and at 2 before that.
fn held() -> Managed {
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "originalReplicas": 2}), Value::Null));
    managed.see(0, target(10, 3));
    managed
}

#[test]
fn the_management_ends_once_the_count_from_before_is_in_place_or_cannot_be() {
    struct Row {
        name: &'static str,
        then: fn(&mut Managed) -> Decision,
        ends: bool,
    }
    let gone = |managed: &mut Managed| {
        managed.observation.target = None;
        managed.decide(2)
    };
    for Row { name, then, ends } in [
        Row { name: "not yet", then: |managed| managed.decide(2), ends: false },
        Row { name: "in place", then: |managed| managed.see(2, target(11, 2)), ends: true },
        Row { name: "gone", then: gone, ends: true },
        Row { name: "being deleted", then: |managed| managed.see(2, target(11, 3).deleting()), ends: true },
        Row {
            name: "gone, as far as an unlisted kind shows",
            then: |managed| {
                managed.observation.kind = KindState::Unlisted;
                managed.observation.target = None;
                managed.decide(2)
            },
            ends: false,
        },
        Row { name: "admission stores another count", then: |it| it.correct_changed(2, 2, 5, 11), ends: true },
    ] {
        let mut managed = held();
        assert_eq!(corrects_to(managed.restore(1, "carol").correct.as_ref()), Some(2), "{name}");
        let decision = then(&mut managed);
        assert_eq!(decision.assessment == Assessment::Unset, ends, "{name}: {:?}", decision.assessment);
    }
}

#[test]
fn the_status_says_whether_the_count_from_before_is_in_place() {
    let gone = |managed: &mut Managed| {
        managed.observation.target = None;
        managed.decide(2)
    };
    let stored = |managed: &mut Managed| managed.correct_changed(2, 2, 5, 11);
    struct Row {
        name: &'static str,
        then: fn(&mut Managed) -> Decision,
        expected: &'static str,
    }
    for Row { name, then, expected } in [
        Row { name: "in place", then: |managed| managed.see(2, target(11, 2)), expected: "is in place again" },
        Row { name: "gone", then: gone, expected: "cannot be put in place" },
        Row { name: "admission stores another count", then: stored, expected: "cannot be put in place" },
        Row {
            name: "being deleted",
            then: |managed| managed.see(2, target(11, 3).deleting()),
            expected: "cannot be put in place",
        },
    ] {
        let mut managed = held();
        managed.restore(1, "carol");
        then(&mut managed);
        let ready = managed.status(2).conditions.swap_remove(0);
        let message = format!("the previous count {expected}: the server is deleting this ReplicaCount");
        assert_eq!((&*ready.reason, &*ready.message), ("Restored", message.as_str()), "{name}");
    }
}

#[test]
fn a_count_that_admission_changed_before_is_no_reason_to_give_up_the_one_from_before() {
    let mut managed = held();
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    managed.correct_changed(1, 3, 5, 12);
    let decision = managed.restore(100, "carol");
    assert_eq!(decision.assessment, Assessment::Correct(2));
}

/// The count is in place, and this server owns it instead of helm.
fn taken_from_helm(version: u64, replicas: i32) -> TargetFixture {
    target(version, replicas).applied_by("helm", 0, false).scaled_by("replica-count-manager")
}

fn failed_give_back() -> OwnershipAnswer {
    OwnershipAnswer::Failed { cause: Cause::Refused, error: "denied".into() }
}

/// What happens after the count from before was put in place.
struct Row {
    name: &'static str,
    then: fn(&mut Managed) -> Decision,
    expected: Assessment,
    /// Whether the ownership is to be given back.
    gives_back: bool,
}

impl Row {
    fn check(self) {
        let Self { name, then, expected, gives_back } = self;
        let count = replica_count(1, 1, json!({"replicas": 3, "originalReplicas": 2}), Value::Null);
        let mut managed = Managed::with(count);
        managed.see(0, target(10, 3).applied_by("helm", 0, true));
        managed.restore(1, "carol");
        let corrected = managed.correct(1, 2, 12);
        assert_eq!((corrected.assessment, corrected.correct), (Assessment::Ending, None), "{name}");
        assert_eq!(managed.ready(1), "Restored", "{name}");
        let decision = then(&mut managed);
        let is_deleted = matches!(decision.correct, Some(Correction::Unset { .. }));
        assert_eq!((decision.assessment, is_deleted), (expected, expected == Assessment::Unset), "{name}");
        assert_eq!(decision.give_back.is_some(), gives_back, "{name}");
    }
}

#[test]
fn the_management_lasts_until_the_applier_has_the_count_back_but_not_for_long() {
    use Assessment::{Correct, Ending, Unset};
    let row = |name, then: fn(&mut Managed) -> Decision, expected, gives_back| {
        Row { name, then, expected, gives_back }.check();
    };
    row("the state with the count is still to come", |managed| managed.decide(2), Ending, false);
    row("it is there", |managed| managed.see(2, taken_from_helm(12, 2)), Ending, true);
    row(
        "given back",
        |managed| {
            managed.see(2, taken_from_helm(12, 2));
            managed.answer_ownership(2, OwnershipAnswer::Given { version: 13 })
        },
        Unset,
        false,
    );
    row(
        "not given back",
        |managed| {
            managed.see(2, taken_from_helm(12, 2));
            managed.answer_ownership(2, failed_give_back())
        },
        Ending,
        true,
    );
    row(
        "not given back for too long",
        |managed| {
            managed.see(2, taken_from_helm(12, 2));
            managed.answer_ownership(2, failed_give_back());
            managed.decide(7)
        },
        Unset,
        false,
    );
    row("the state does not come", |managed| managed.decide(7), Unset, false);
    row("helm has applied by force", |managed| managed.see(2, target(13, 2).applied_by("helm", 2, true)), Unset, false);
    row("another count meanwhile", |managed| managed.see(2, target(13, 7).scaled_by("kubectl")), Correct(2), false);
    row("a Set meanwhile", |managed| managed.set(2, json!({"replicas": 4})), Correct(4), false);
    row(
        "the server keeps the ownership",
        |managed| {
            managed.observation.gives_back = false;
            managed.see(2, taken_from_helm(12, 2))
        },
        Unset,
        false,
    );
    row("the target is being deleted", |managed| managed.see(2, taken_from_helm(13, 2).deleting()), Unset, false);
}

#[test]
fn an_actor_that_undoes_each_correction_does_not_delay_the_end() {
    for (name, pause, expected) in [
        ("at once", 0, 6),
        ("after a second", 1, 6),
        ("after 4 s", 4, 9),
        ("after 5 s", 5, 6),
        ("after a minute", 60, 61),
    ] {
        let count = replica_count(1, 1, json!({"replicas": 3, "originalReplicas": 2}), Value::Null);
        let mut managed = Managed::with(count);
        managed.see(0, target(10, 3).applied_by("helm", 0, true));
        managed.restore(1, "carol");
        let (mut second, mut version) = (1, 12);
        let is_end = |decision: Decision| matches!(decision.correct, Some(Correction::Unset { .. }));
        while !is_end(managed.correct(second, 2, version)) {
            assert!(second <= expected, "{name}: it does not end");
            second += pause;
            let drift = target(version + 1, 7).applied_by("helm", 0, false).scaled_by("operator");
            if managed.see(second, drift).correct.is_none() {
                // After ten corrections, the next one waits for 5 s.
                second += 5;
            }
            version += 2;
        }
        assert_eq!(second, expected, "{name}");
    }
}

#[test]
fn a_restore_that_is_cancelled_starts_the_time_of_the_next_one_anew() {
    let count = replica_count(1, 1, json!({"replicas": 3, "originalReplicas": 2}), Value::Null);
    let mut managed = Managed::with(count);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    managed.restore(1, "carol");
    assert_eq!(managed.correct(1, 2, 12).assessment, Assessment::Ending);
    managed.set(2, json!({"replicas": 4, "originalReplicas": 2}));
    managed.correct(2, 4, 13);
    managed.restore(9, "carol");
    assert_eq!(managed.correct(9, 2, 14).requeue_after, Some(Duration::from_secs(5)));
}

#[test]
fn a_new_leader_gives_back_before_it_ends_the_management() {
    let status = json!({"observedGeneration": 2, "desired": 2, "observed": 2, "appliers": ["helm"]});
    let count = replica_count(1, 1, json!({"replicas": 3, "originalReplicas": 2}), status);
    let mut managed = Managed::with(count);
    managed.observation.target = Some(Arc::new(taken_from_helm(12, 2).state()));
    let decision = managed.restore(1, "carol");
    assert_eq!((decision.assessment, decision.give_back.is_some()), (Assessment::Ending, true));
    assert_eq!(managed.answer_ownership(1, OwnershipAnswer::Given { version: 13 }).assessment, Assessment::Unset);
}

#[test]
fn an_override_that_ends_the_management_waits_for_a_give_back_too() {
    let over = json!({"replicas": 9, "until": at(10).to_string(), "thenUnset": true});
    let mut managed = Managed::with(replica_count(1, 1, json!({"replicas": 3, "override": over}), Value::Null));
    managed.see(0, target(10, 9).applied_by("helm", 0, true));
    managed.see(9, target(11, 7).applied_by("helm", 0, false).scaled_by("kubectl"));
    managed.correct(9, 9, 12);
    let decision = managed.decide(10);
    assert_eq!((decision.assessment, decision.requeue_after), (Assessment::Ending, Some(Duration::from_secs(5))));
    assert_eq!(managed.ready(10), "OverrideEnded");
    assert!(managed.see(10, taken_from_helm(12, 9)).give_back.is_some());
    let given = managed.answer_ownership(11, OwnershipAnswer::Given { version: 13 });
    assert!(matches!(given.correct, Some(Correction::Unset { .. })), "{given:?}");
}
