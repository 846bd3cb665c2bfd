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
