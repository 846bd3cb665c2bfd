use serde_json::json;

use super::*;
use crate::enforcement::fixtures::at;

/// Drifts by actors at seconds.
fn after(drifts: &[(i64, &str)]) -> Contention {
    drifts.iter().fold(Contention::default(), |before, (second, manager)| before.with_drift(manager, at(*second)))
}

struct Row {
    name: &'static str,
    drifts: &'static [(i64, &'static str)],
    now: i64,
    opponent: Option<&'static str>,
}

#[test]
fn three_drifts_by_one_actor_within_ten_minutes_are_contention() {
    let helm = Some("helm");
    for Row { name, drifts, now, opponent } in [
        Row { name: "no drift", drifts: &[], now: 0, opponent: None },
        Row { name: "two drifts", drifts: &[(0, "helm"), (1, "helm")], now: 1, opponent: None },
        Row { name: "three drifts", drifts: &[(0, "helm"), (1, "helm"), (2, "helm")], now: 2, opponent: helm },
        Row {
            name: "three by one among others",
            drifts: &[(0, "helm"), (1, "kubectl"), (2, "helm"), (3, "kubectl"), (4, "helm")],
            now: 4,
            opponent: helm,
        },
        Row { name: "three by three", drifts: &[(0, "a"), (1, "b"), (2, "c")], now: 2, opponent: None },
        Row {
            name: "the first is too old",
            drifts: &[(0, "helm"), (599, "helm"), (600, "helm")],
            now: 600,
            opponent: None,
        },
        Row {
            name: "the first is just in time",
            drifts: &[(1, "helm"), (599, "helm"), (600, "helm")],
            now: 600,
            opponent: helm,
        },
        Row { name: "it lasts", drifts: &[(0, "helm"), (1, "helm"), (2, "helm")], now: 601, opponent: helm },
        Row { name: "it ends", drifts: &[(0, "helm"), (1, "helm"), (2, "helm")], now: 602, opponent: None },
        Row {
            name: "the clock was set back by minutes",
            drifts: &[(0, "helm"), (1, "helm"), (2, "helm")],
            now: -500,
            opponent: helm,
        },
        Row {
            name: "the clock was set back by an hour",
            drifts: &[(0, "helm"), (1, "helm"), (2, "helm")],
            now: -3600,
            opponent: None,
        },
    ] {
        assert_eq!(after(drifts).opponent(at(now)), opponent, "{name}");
    }
}

#[test]
fn contention_follows_the_actors() {
    let helm = Some("helm");
    for Row { name, drifts, now, opponent } in [
        Row {
            name: "one more drift prolongs it",
            drifts: &[(0, "helm"), (1, "helm"), (2, "helm"), (601, "helm")],
            now: 1200,
            opponent: helm,
        },
        Row {
            name: "another actor's drift does not prolong it",
            drifts: &[(0, "helm"), (1, "helm"), (2, "helm"), (601, "kubectl")],
            now: 602,
            opponent: None,
        },
        Row {
            name: "the latest opponent is named",
            drifts: &[(0, "helm"), (1, "helm"), (2, "helm"), (3, "kubectl"), (4, "kubectl"), (5, "kubectl")],
            now: 5,
            opponent: Some("kubectl"),
        },
    ] {
        assert_eq!(after(drifts).opponent(at(now)), opponent, "{name}");
    }
}

#[test]
fn an_actor_is_remembered_among_a_dozen_drifts_by_others() {
    for Row { name, drifts, now, opponent } in [
        Row {
            name: "four actors in turns are each remembered",
            drifts: &[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "a"), (5, "b"), (6, "c"), (7, "d"), (8, "a")],
            now: 8,
            opponent: Some("a"),
        },
        Row {
            name: "ten drifts by others push no drift out",
            drifts: &[
                (0, "a"),
                (1, "a"),
                (2, "b"),
                (3, "c"),
                (4, "d"),
                (5, "e"),
                (6, "f"),
                (7, "g"),
                (8, "h"),
                (9, "i"),
                (10, "j"),
                (11, "k"),
                (12, "a"),
            ],
            now: 12,
            opponent: Some("a"),
        },
        Row {
            name: "eleven drifts by others push the first one out",
            drifts: &[
                (0, "a"),
                (1, "a"),
                (2, "b"),
                (3, "c"),
                (4, "d"),
                (5, "e"),
                (6, "f"),
                (7, "g"),
                (8, "h"),
                (9, "i"),
                (10, "j"),
                (11, "k"),
                (12, "l"),
                (13, "a"),
            ],
            now: 13,
            opponent: None,
        },
    ] {
        assert_eq!(after(drifts).opponent(at(now)), opponent, "{name}");
    }
}

#[test]
fn the_time_until_contention_ends_is_known() {
    let contention = after(&[(0, "helm"), (1, "helm"), (2, "helm")]);
    assert_eq!(contention.ends_in(at(2)), Some(Duration::from_secs(600)));
    assert_eq!(contention.ends_in(at(601)), Some(Duration::from_secs(1)));
    assert_eq!(contention.ends_in(at(602)), None);
    assert_eq!(after(&[(0, "helm")]).ends_in(at(0)), None);
    assert_eq!(contention.ends_in(at(-10)), Some(Duration::from_secs(588)), "the clock was set back: look again then");
}

#[test]
fn corrections_are_immediate_up_to_ten_a_minute_and_go_on_past_that() {
    let mut contention = Contention::default();
    for second in 0..10 {
        assert_eq!(contention.pause(at(second)), Duration::ZERO, "{second}");
        contention.add_correction(at(second));
    }
    assert_eq!(contention.pause(at(9)), Duration::from_secs(5));
    assert_eq!(contention.pause(at(12)), Duration::from_secs(2));
    assert_eq!(contention.pause(at(14)), Duration::ZERO);
    contention.add_correction(at(14));
    assert_eq!(contention.pause(at(14)), Duration::from_secs(5), "the minute begins with the second of them");
    assert_eq!(contention.pause(at(60)), Duration::ZERO, "five seconds after the last");
    assert_eq!(contention.pause(at(61)), Duration::ZERO);
    contention.add_correction(at(61));
    assert_eq!(contention.pause(at(61)), Duration::from_secs(5), "ten since the second 3");
    assert_eq!(contention.pause(at(62)), Duration::ZERO, "a minute after the first of ten");
    contention.add_correction(at(90));
    assert_eq!(contention.pause(at(90)), Duration::ZERO, "more than a minute after it");
}

/// A status whose condition `Contested` names a manager, and the drifters that it knows.
fn status(condition: (&str, &str, &str), drifters: &[&str]) -> ReplicaCountStatus {
    let (status, reason, message) = condition;
    let drifters = drifters
        .iter()
        .map(|manager| json!({"manager": manager, "count": 3, "from": 3, "to": 7, "last": at(0).to_string()}));
    serde_json::from_value(json!({
        "drifts": 3, "drifters": drifters.collect::<Vec<_>>(),
        "conditions": [{"type": "Contested", "status": status, "reason": reason, "message": message,
                        "lastTransitionTime": at(0).to_string()}],
    }))
    .unwrap()
}

#[test]
fn contention_outlives_its_leader_in_the_status() {
    let names = |message| ("True", "RepeatedDrift", message);
    for (name, status, opponent) in [
        ("named", status(names("helm keeps changing the count: …"), &["kubectl", "helm"]), Some("helm")),
        ("another's name is longer", status(names("a b keeps changing"), &["a", "a b"]), Some("a b")),
        ("not among the drifters", status(names("flux keeps changing"), &["helm"]), None),
        ("over", status(("False", "Uncontested", ""), &["helm"]), None),
        ("an autoscaler", status(("True", "Autoscaled", "helm x"), &["helm"]), None),
        ("only begins alike", status(names("helmfile keeps changing"), &["helm"]), None),
    ] {
        assert_eq!(Contention::of(&status).opponent(at(1)), opponent, "{name}");
        let mut other = Contention::default();
        other.take_over(&status);
        assert_eq!(other.opponent(at(1)), opponent, "{name}, taken over");
    }
    let mut known = after(&[(0, "kubectl"), (1, "kubectl"), (2, "kubectl")]);
    known.take_over(&status(names("helm keeps changing the count: …"), &["helm"]));
    assert_eq!(known.opponent(at(3)), Some("kubectl"), "what this server knows itself stands");
}
