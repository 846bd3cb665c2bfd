use serde_json::Value;

use super::*;
use crate::enforcement::fixtures::{Managed, at, replica_count, target};

#[test]
fn attempts_are_one_event_for_each_actor_and_count() {
    let now = Now::read();
    let mut announced = Announced::new(now);
    for (name, actor, held, expected) in [
        ("the first", "alice (kubectl)", 3, 1),
        ("again", "alice (kubectl)", 3, 2),
        ("another actor", "bob", 3, 1),
        ("another count", "alice (kubectl)", 4, 1),
    ] {
        let events = PendingEvents { guarded: Some((actor.to_owned(), held)), ..PendingEvents::default() };
        let [write] = event_writes(events, &mut announced, now).try_into().unwrap();
        assert_eq!((write.reason, write.type_, write.series.count), ("Guarded", "Warning", expected), "{name}");
        assert_eq!(write.note, format!("{actor} tried to change the replica count; it stays {held}"), "{name}");
    }
}

/// Held at 3 since alice set it, and at another count before that.
fn held(original: i32) -> Managed {
    let spec = json!({"replicas": 3, "originalReplicas": original});
    let mut managed = Managed::with(replica_count(1, 1, spec, Value::Null));
    managed.see(0, target(10, 3));
    managed
}

fn end_note(managed: &Managed) -> String {
    end_event(&managed.observation, &managed.memory, managed.now(9)).note
}

#[test]
fn only_a_count_that_the_server_has_put_back_is_called_so() {
    for (name, correcting, is_unset, stored, end) in [
        ("deleted by somebody else", None, false, 2, "left at 2"),
        ("deleted while a count is written", Some(Started::Scale(2)), false, 2, "left at 2"),
        ("being deleted by the server", Some(Started::Unset), false, 2, "put back to 2 for carol"),
        ("deleted by the server", None, true, 2, "put back to 2 for carol"),
        ("deleted by the server, and another count is in place", None, true, 5, "left at 5"),
    ] {
        let mut managed = held(2);
        managed.restore(1, "carol");
        managed.see(2, target(11, stored));
        (managed.memory.correcting, managed.memory.is_unset) = (correcting, is_unset);
        let note = end_note(&managed);
        assert!(note.ends_with(&format!(": {end}")), "{name}: {note}");
    }
}

#[test]
fn a_count_is_put_back_for_the_user_who_asked_for_it_whomever_the_annotation_names() {
    for (name, reviews, by) in [
        ("a call of carol", &[""][..], "carol"),
        ("no review", &[], "carol"),
        ("an editor who names carol", &["mallory"], "mallory"),
        ("one of two editors who name carol", &["mallory", "bob"], "unknown"),
        ("a call of carol, and an editor whose write was refused", &["mallory", ""], "carol"),
    ] {
        for (original, held_at) in [(2, "another count"), (3, "the same count")] {
            let mut managed = held(original);
            managed.restore_with_reviews(1, "carol", reviews);
            managed.see(2, target(11, original));
            // A write of the status is not reviewed.
            Arc::make_mut(&mut managed.observation.count).resource_version += 1;
            managed.decide(3);
            managed.memory.is_unset = true;
            let note = end_note(&managed);
            assert!(note.ends_with(&format!(": put back to {original} for {by}")), "{name}, {held_at}: {note}");
        }
    }
}

#[test]
fn a_count_was_set_by_whom_the_history_names() {
    let over = || json!({"replicas": 9, "until": at(100).to_string()});
    struct Row {
        name: &'static str,
        then: fn(&mut Managed, Value),
        expected: &'static str,
    }
    for row in [
        Row { name: "as it was", then: |_, _| {}, expected: "3 (set by alice)" },
        Row {
            name: "by an editor",
            then: |managed, _| drop(managed.set_reviewed(1, json!({"replicas": 4}), "bob")),
            expected: "4 (set by bob)",
        },
        Row {
            name: "without a review",
            then: |managed, _| drop(managed.set(1, json!({"replicas": 4}))),
            expected: "4 (set by alice)",
        },
        Row {
            name: "an override by an editor",
            then: |managed, over| {
                managed.set_reviewed(1, json!({"replicas": 3, "override": over}), "bob");
            },
            expected: "9 (set by bob)",
        },
        Row {
            name: "after an override",
            then: |managed, over| {
                managed.set_reviewed(1, json!({"replicas": 3, "override": over}), "bob");
                managed.decide(100);
            },
            expected: "3 (set by alice)",
        },
        Row {
            name: "changes that were not seen one by one",
            then: |managed, _| {
                managed.observation.count = replica_count(5, 4, json!({"replicas": 4}), json!({}));
                managed.decide(1);
            },
            expected: "4 (set by alice)",
        },
    ] {
        let mut managed = held(2);
        (row.then)(&mut managed, over());
        let begin = format!("the replica count is no longer held at {}: ", row.expected);
        let note = end_note(&managed);
        assert!(note.starts_with(&begin), "{}: {note}", row.name);
    }
}

#[test]
fn an_object_that_waits_for_a_finalizer_held_what_it_held_before() {
    for (name, [before, deleted, gone], has_history, expected) in [
        ("under an override", [1, 2, 3], true, "9 (set by bob)"),
        ("under one that ends while it waits", [1, 2, 200], true, "9 (set by bob)"),
        ("after one, and the clock is set back", [100, 40, 41], true, "3 (set by alice)"),
        ("under one that no history has", [1, 2, 3], false, "9"),
        ("after one that no history has", [100, 101, 102], false, "3 (set by alice)"),
    ] {
        let mut managed = held(2);
        let over = json!({"replicas": 9, "until": at(100).to_string()});
        managed.set_reviewed(1, json!({"replicas": 3, "override": over}), "bob");
        managed.decide(before);
        if !has_history {
            managed.memory.history = History::of(&Arc::default());
        }
        let count = Arc::make_mut(&mut managed.observation.count);
        (count.deleting, count.generation) = (true, count.generation.map(|generation| generation + 1));
        managed.decide(deleted);
        managed.decide(gone);
        let begin = format!("the replica count is no longer held at {expected}: ");
        let note = end_note(&managed);
        assert!(note.starts_with(&begin), "{name}: {note}");
    }
}

#[test]
fn names_and_actions_keep_to_their_limits() {
    let key = |name: &str| TargetKey::new("shop", "", "", name).unwrap();
    assert_eq!(name(&key("web"), 0x1234), "web.1234");
    let long = name(&key(&format!("{}-xxx", "a".repeat(235))), 0x1234_5678_9abc_def0);
    assert_eq!((long.len(), long.ends_with(".123456789abcdef0")), (MAX_NAME, true), "{long}");
    let other = name(&key(&format!("{}-yyy", "a".repeat(235))), 0x1234_5678_9abc_def0);
    assert_ne!(long, other, "they begin alike");
    let (_, action, note) = put_back(&"é".repeat(128), 3);
    assert!(action.len() <= MAX_ACTION && action.starts_with("PutBackTo3 é"), "{action}");
    assert!(note.ends_with("put back to 3"));
}
