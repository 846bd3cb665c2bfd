use contract::replicas::v1::Change;

use super::*;
use crate::{spec::Override, time::to_proto};

fn now() -> Timestamp {
    "2026-11-23T18:00:00Z".parse().unwrap()
}

fn spec(replicas: i32) -> Spec {
    Spec { replicas, original_replicas: Some(2), ..Spec::default() }
}

fn held(replicas: i32) -> State {
    State::Managed(Held { spec: spec(replicas), set_by: "alice".to_owned(), resource_version: "7".to_owned() })
}

fn change(before: State, after: State) -> TargetChange {
    let [namespace, group, kind, name] = ["shop", "apps", "Deployment", "web"].map(str::to_owned);
    TargetChange { namespace, group, kind, name, before, after, is_tried: false }
}

/// A managed target as it is read later: the status has changed the resource version.
fn present(replicas: i32, by: &str) -> ReplicaCount {
    ReplicaCount {
        desired: Some(replicas),
        observed: Some(replicas),
        replicas: Some(replicas),
        original_replicas: Some(2),
        set_by: by.to_owned(),
        resource_version: "9".to_owned(),
        ..ReplicaCount::default()
    }
}

fn unmanaged(observed: Option<i32>) -> ReplicaCount {
    ReplicaCount { observed, ..ReplicaCount::default() }
}

/// The counts of the Sets, or the Unset, or the refusal.
fn shown(change: &TargetChange, present: &ReplicaCount) -> String {
    match of(change, present, now()) {
        Ok(Reversal::Set(request)) => {
            let lasting = request.lasting_replicas.map(|count| format!("{count} ")).unwrap_or_default();
            let expected = request.expected_replicas.map(|count| format!(", if at {count}")).unwrap_or_default();
            let missing = if request.allow_missing { ", missing" } else { "" };
            format!("set {lasting}{}{expected}{missing}", request.replicas.unwrap())
        }
        Ok(Reversal::Unset { restore }) => format!("unset, restore {restore}"),
        Ok(Reversal::Nothing) => "nothing".to_owned(),
        Err(why) => why,
    }
}

#[test]
fn each_kind_of_change_is_taken_back() {
    let over = Override {
        replicas: 9,
        until: "2026-11-23T19:00:00Z".parse().unwrap(),
        reason: String::new(),
        then_unset: false,
    };
    let overridden = |replicas| match held(replicas) {
        State::Managed(held) => {
            State::Managed(Held { spec: Spec { override_: Some(over.clone()), ..held.spec }, ..held })
        }
        other => other,
    };
    let with_override = ReplicaCount {
        desired: Some(9),
        r#override: Some(contract::replicas::v1::Override {
            replicas: Some(9),
            until: Some(to_proto(over.until)),
            ..contract::replicas::v1::Override::default()
        }),
        ..present(3, "alice")
    };
    struct Row {
        name: &'static str,
        change: TargetChange,
        present: ReplicaCount,
        shown: &'static str,
    }
    let row = |name, before, after, present, shown| Row { name, change: change(before, after), present, shown };
    for Row { name, change, present, shown: expected } in [
        row("a set", held(3), held(5), present(5, "alice"), "set 3"),
        row("a first set", State::Unmanaged(vec![2]), held(5), present(5, "alice"), "unset, restore true"),
        row("an adopt", State::Unmanaged(vec![2]), held(2), present(2, "alice"), "unset, restore false"),
        row(
            "a set of a missing target",
            State::Unmanaged(vec![]),
            held(2),
            present(2, "alice"),
            "unset, restore false",
        ),
        row("an unset", held(3), State::Unmanaged(vec![3]), unmanaged(Some(3)), "set 3, if at 3"),
        row("an unset that cannot be seen", held(3), State::Unmanaged(vec![3]), unmanaged(None), "set 3, if at 3"),
        row("an unset of a missing target", held(3), State::Unmanaged(vec![]), unmanaged(None), "set 3, missing"),
        row("an override", held(3), overridden(3), with_override.clone(), "set 3"),
        row("the end of an override", overridden(3), held(3), present(3, "alice"), "set 3 9"),
        row("a set that ended an override", overridden(3), held(5), present(5, "alice"), "set 3 9"),
        row(
            "an unset of an override",
            overridden(3),
            State::Unmanaged(vec![9]),
            unmanaged(Some(9)),
            "set 3 9, if at 9",
        ),
    ] {
        assert_eq!(shown(&change, &present), expected, "{name}");
    }
}

#[test]
fn what_somebody_has_changed_since_is_not_taken_back() {
    let at = |seconds: i64| Some(to_proto(Timestamp::from_second(now().as_second() - seconds).unwrap()));
    let latest = |to, by: &str, count: ReplicaCount| ReplicaCount {
        changes: vec![Change { from: Some(5), to: Some(to), by: by.to_owned(), at: at(300), ..Change::default() }],
        ..count
    };
    let name = "deployment.apps/web";
    for (case, before, after, present, refusal) in [
        ("another count", held(3), held(5), latest(7, "bob", present(7, "bob")), "was changed to 7 by bob, 5m ago"),
        ("an old status", held(3), held(5), latest(5, "alice", present(7, "bob")), "was changed to 7 by bob"),
        ("the same count again", held(3), held(5), present(5, "bob"), "was changed to 5 by bob"),
        (
            "the end of an override",
            held(3),
            held(5),
            latest(7, "", present(7, "alice")),
            "is at 7 by now: its override has ended, 5m ago",
        ),
        ("no name", held(3), held(5), present(7, ""), "was changed to 7 by others"),
        ("an unset", held(3), held(5), unmanaged(Some(5)), "is not managed any more"),
        ("a set after an unset", held(3), State::Unmanaged(vec![3]), present(3, "bob"), "was changed to 3 by bob"),
        (
            "a scale after an unset",
            held(3),
            State::Unmanaged(vec![2, 3]),
            unmanaged(Some(7)),
            "has 7 replicas by now, and was left at 2 or 3",
        ),
    ] {
        assert_eq!(shown(&change(before, after), &present), format!("{name} {refusal}"), "{case}");
    }
    let same_version = ReplicaCount { resource_version: "7".to_owned(), ..present(5, "alice") };
    assert_eq!(shown(&change(held(3), held(5)), &same_version), "set 3");
    let shown = shown(&change(State::Unknown, held(5)), &present(5, "alice"));
    assert!(shown.contains("could not be read before"), "{shown}");
}

#[test]
fn a_change_without_an_answer_is_undone_if_it_was_not_made() {
    let to_three = "`kubectl replicas undo deployment.apps/web -n shop --to 3` goes back";
    for (case, before, present, expected) in [
        ("not made", held(3), present(3, "alice"), Ok(())),
        ("not made, not managed", State::Unmanaged(vec![2]), unmanaged(Some(2)), Ok(())),
        ("made", held(3), present(5, "alice"), Err(to_three)),
        ("set by another", held(3), present(3, "bob"), Err(to_three)),
        ("ended", held(3), unmanaged(Some(3)), Err("`kubectl replicas set deployment.apps/web -n shop 3` goes back")),
        (
            "begun",
            State::Unmanaged(vec![2]),
            present(2, "alice"),
            Err("`kubectl replicas unset deployment.apps/web -n shop --restore` goes back"),
        ),
        (
            "unread",
            State::Unknown,
            present(3, "alice"),
            Err("`kubectl replicas history deployment.apps/web -n shop` shows its changes"),
        ),
    ] {
        let start = "deployment.apps/web: the answer to the change is missing, so its result is not known; ";
        let expected = expected.map_or_else(|way| format!("{start}{way}"), |()| "nothing".to_owned());
        assert_eq!(shown(&change(before, State::Unknown), &present), expected, "{case}");
    }
}

#[test]
fn an_undo_without_an_answer_can_be_tried_again() {
    let unmanaged_before = || State::Unmanaged(vec![2]);
    for (case, before, after, present, expected) in [
        ("not made", held(3), held(5), present(5, "alice"), "set 3"),
        ("made", held(3), held(5), present(3, "bob"), "nothing"),
        ("made, not managed", unmanaged_before(), held(5), unmanaged(Some(2)), "nothing"),
        ("not made, not managed", unmanaged_before(), held(5), present(5, "alice"), "unset, restore true"),
        ("changed since", held(3), held(5), present(7, "bob"), "deployment.apps/web was changed to 7 by bob"),
        ("unread", State::Unknown, held(5), present(3, "bob"), "deployment.apps/web was changed to 3 by bob"),
    ] {
        let change = TargetChange { is_tried: true, ..change(before, after) };
        assert_eq!(shown(&change, &present), expected, "{case}");
    }
}
