use serde_json::json;

use super::*;
use crate::enforcement::{
    fixtures::{Managed, TargetFixture, at, target},
    writes::CorrectionAnswer,
};

#[test]
fn ready_says_what_is_missing() {
    struct Row {
        name: &'static str,
        target: TargetFixture,
        expected: (&'static str, &'static str, &'static str),
    }
    for row in [
        Row { name: "all are ready", target: target(5, 3), expected: ("True", "InPlace", "") },
        Row {
            name: "some are ready",
            target: target(5, 3).ready(Some(2)),
            expected: ("False", "ReplicasNotReady", "2 of 3 replicas are ready"),
        },
        Row {
            name: "a rolling update with surge",
            target: target(5, 3).ready(Some(4)),
            expected: ("True", "InPlace", ""),
        },
        Row { name: "the kind does not say", target: target(5, 3).ready(None), expected: ("True", "InPlace", "") },
        Row {
            name: "another count",
            target: target(5, 7),
            expected: ("False", "Correcting", "the count is being put in place"),
        },
        Row {
            name: "being deleted",
            target: target(5, 3).deleting(),
            expected: ("False", "TargetTerminating", "the target is being deleted"),
        },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, row.target);
        let [ready, found, contested] = managed.status(0).conditions.try_into().unwrap();
        assert_eq!((&*ready.status, &*ready.reason, &*ready.message), row.expected, "{}", row.name);
        assert_eq!((&*found.status, &*found.reason), ("True", "Found"), "{}", row.name);
        assert_eq!((&*contested.status, &*contested.reason), ("False", "Uncontested"), "{}", row.name);
    }
}

#[test]
fn an_autoscaler_of_a_guarded_target_is_paused() {
    struct Row {
        name: &'static str,
        admission: Option<Admission>,
        autoscaler: Option<&'static str>,
        expected: (&'static str, &'static str),
    }
    let paused = ("False", "AutoscalerPaused");
    for row in [
        Row { name: "guarded", admission: Some(Admission::Guarded), autoscaler: Some("hpa"), expected: paused },
        Row {
            name: "guarded, without one",
            admission: Some(Admission::Guarded),
            autoscaler: None,
            expected: ("False", "Uncontested"),
        },
        Row {
            name: "recorded",
            admission: Some(Admission::Recorded),
            autoscaler: Some("hpa"),
            expected: ("True", "Autoscaled"),
        },
        Row {
            name: "neither",
            admission: Some(Admission::Neither),
            autoscaler: Some("hpa"),
            expected: ("True", "Autoscaled"),
        },
        Row {
            name: "still to be tested",
            admission: None,
            autoscaler: Some("hpa"),
            expected: ("False", "Uncontested"),
        },
    ] {
        let over = json!({"replicas": 9, "until": at(60).to_string()});
        let mut managed = Managed::with(crate::enforcement::fixtures::replica_count(
            1,
            1,
            json!({"replicas": 3, "override": over}),
            serde_json::Value::Null,
        ));
        managed.observation.admission = row.admission;
        managed.observation.autoscaler = row.autoscaler.map(Into::into);
        managed.see(0, target(5, 9));
        let status = managed.status(0);
        let contested = &status.conditions[2];
        assert_eq!((&*contested.status, &*contested.reason), row.expected, "{}", row.name);
        let end = format!("HorizontalPodAutoscaler hpa is paused while the count is held, until {}", at(60));
        assert_eq!(*contested.message == *end, row.expected == paused, "{}: {}", row.name, contested.message);
        let admission = row.admission.unwrap_or_default().label();
        assert_eq!(status.admission, admission, "{}", row.name);
    }
}

#[test]
fn ready_replicas_are_shown_with_the_desired_count() {
    for (name, seen, expected) in [
        ("all are ready", Some(target(5, 3).ready(Some(3))), "3/3"),
        ("some are ready", Some(target(5, 3).ready(Some(2))), "2/3"),
        ("more than desired", Some(target(5, 7).ready(Some(7))), "7/3"),
        ("the kind does not say", Some(target(5, 3).ready(None)), "-/3"),
        ("no target", None, "0/3"),
    ] {
        let mut managed = Managed::at(3);
        match seen {
            Some(seen) => drop(managed.see(0, seen)),
            None => drop(managed.decide(0)),
        }
        assert_eq!(managed.status(0).ready_of_desired.as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn no_ready_replicas_are_shown_for_a_target_that_is_not_known() {
    let problem =
        || std::sync::Arc::new(crate::index::Unavailable { reason: reasons::FORBIDDEN, message: String::new() });
    let watched = crate::enforcement::fixtures::watched_deployments();
    let failing = KindState::Failing(watched.known().unwrap().clone(), problem());
    for (name, kind, expected) in [
        ("there is none", watched, "0/3"),
        ("the kind is being looked up", KindState::Unlisted, "-/3"),
        ("the watch of the kind fails", failing, "-/3"),
        ("the kind cannot be watched", KindState::Unavailable(problem()), "-/3"),
    ] {
        let mut managed = Managed::at(3);
        managed.observation.kind = kind;
        managed.decide(0);
        let status = managed.status(0);
        assert_eq!((status.ready_of_desired.as_deref(), status.ready), (Some(expected), None), "{name}");
    }
}

#[test]
fn an_absent_target_is_awaited() {
    let mut managed = Managed::at(3);
    managed.decide(0);
    let [ready, found, _] = managed.status(0).conditions.try_into().unwrap();
    assert_eq!((&*ready.reason, &*found.status, &*found.reason), ("TargetNotFound", "False", "NotFound"));
    managed.observation.kind = KindState::Unlisted;
    managed.decide(1);
    let [ready, found, _] = managed.status(1).conditions.try_into().unwrap();
    assert_eq!((&*ready.reason, &*found.status, &*found.reason), ("KindNotListed", "Unknown", "KindNotListed"));
    managed.set(2, json!({"replicas": 101}));
    assert_eq!(managed.ready(2), "AboveMaximum");
}

#[test]
fn nothing_is_certain_while_the_watch_of_the_kind_fails() {
    let mut managed = Managed::at(3);
    managed.see(0, target(5, 3));
    let KindState::Watched(kind) = managed.observation.kind.clone() else { panic!("it is watched") };
    let problem = crate::index::Unavailable { reason: "WatchFailing", message: "no answer".to_owned() };
    managed.observation.kind = KindState::Failing(kind, std::sync::Arc::new(problem));
    for (name, seen, assessment) in [
        ("in place", target(5, 3), Assessment::InPlace),
        ("a drift that was seen before", target(6, 7), Assessment::Correct(3)),
    ] {
        managed.see(1, seen);
        assert_eq!(managed.assessment, assessment, "{name}");
        let [ready, found, _] = managed.status(1).conditions.try_into().unwrap();
        assert_eq!((&*ready.status, &*ready.reason, &*ready.message), ("False", "WatchFailing", "no answer"), "{name}");
        assert_eq!((&*found.status, &*found.reason), ("Unknown", "WatchFailing"), "{name}");
    }
}

#[test]
fn an_object_that_waits_for_a_finalizer_says_that_it_holds_nothing() {
    let mut managed = Managed::at(3);
    managed.observation.admission = Some(Admission::Guarded);
    managed.observation.autoscaler = Some("hpa".into());
    managed.see(0, target(5, 3));
    std::sync::Arc::make_mut(&mut managed.observation.count).deleting = true;
    let failing = KindState::Failing(
        managed.observation.kind.known().unwrap().clone(),
        std::sync::Arc::new(crate::index::Unavailable { reason: "WatchFailing", message: String::new() }),
    );
    for (name, kind) in [("watched", managed.observation.kind.clone()), ("failing", failing)] {
        managed.observation.kind = kind;
        let decision = managed.see(1, target(6, 7).scaled_by("kubectl"));
        assert_eq!((decision.drift, decision.correct, decision.contested), (None, None, None), "{name}");
        let status = managed.status(1);
        let (ready, contested) = (&status.conditions[0], &status.conditions[2]);
        assert_eq!((&*ready.status, &*ready.reason), ("False", "ReplicaCountTerminating"), "{name}");
        assert_eq!((&*contested.status, &*contested.reason), ("False", "Uncontested"), "{name}");
        assert_eq!((status.desired, status.drifts, &*status.admission), (None, 0, ""), "{name}");
    }
}

#[test]
fn a_deletion_that_is_refused_is_told() {
    let over = json!({"replicas": 9, "until": at(60).to_string(), "thenUnset": true});
    let spec = json!({"replicas": 3, "override": over});
    let mut managed = Managed::with(crate::enforcement::fixtures::replica_count(1, 1, spec, serde_json::Value::Null));
    managed.see(0, target(5, 9));
    managed.decide(61);
    let said = "the override has ended: the server is deleting this ReplicaCount";
    assert_eq!(&*managed.status(61).conditions[0].message, said);
    let refused = CorrectionAnswer::Failed { cause: Cause::Refused, error: "no".into(), retry_after: None };
    managed.answer(61, refused);
    let status = managed.status(61);
    let ready = &status.conditions[0];
    assert_eq!(&*ready.message, format!("{said}; the last attempt failed: no"));
    assert_eq!(&*ready.reason, "OverrideEnded");
}

#[test]
fn an_unreadable_count_is_in_place_after_its_correction() {
    let mut managed = Managed::at(3);
    managed.see(0, target(5, 0).without_count());
    managed.correct(1, 3, 6);
    managed.see(2, target(7, 0).without_count());
    assert_eq!(managed.assessment, Assessment::Correct(3));
    assert_eq!(managed.ready(2), "InPlace");
    managed.set(3, json!({"replicas": 4}));
    assert_eq!(managed.ready(3), "Correcting");
}

#[test]
fn a_count_that_was_read_before_is_not_in_place_once_it_is_removed() {
    for (name, uid, expected) in [("the same target", "u", "Correcting"), ("another one", "another", "InPlace")] {
        let mut managed = Managed::at(3);
        managed.see(0, target(5, 7));
        managed.correct(1, 3, 6);
        managed.see(2, target(6, 3));
        assert_eq!(managed.ready(2), "InPlace", "{name}");
        managed.see(3, target(7, 0).uid(uid).without_count());
        assert_eq!((managed.assessment, &*managed.ready(3)), (Assessment::Correct(3), expected), "{name}");
    }
}

#[test]
fn a_long_refusal_of_a_kind_is_cut_in_the_status() {
    let problem = crate::index::Unavailable { reason: reasons::FORBIDDEN, message: "é".repeat(1_000_000) };
    let mut managed = Managed::at(3);
    managed.observation.kind = KindState::Unavailable(std::sync::Arc::new(problem));
    managed.decide(1);
    let [ready, found, _] = managed.status(1).conditions.try_into().unwrap();
    for condition in [ready, found] {
        let Condition { type_, reason, message, .. } = condition;
        assert_eq!((&*reason, message.len()), ("Forbidden", MAX_MESSAGE), "{type_}");
    }
}

#[test]
fn a_transition_keeps_its_time_in_whole_seconds() {
    let mut managed = Managed::at(3);
    managed.see(0, target(5, 7));
    let first = managed.status(5);
    assert_eq!(first.conditions[0].last_transition_time.0, at(5));
    managed.observation.count = crate::enforcement::fixtures::replica_count(
        1,
        1,
        json!({"replicas": 3}),
        serde_json::to_value(&first).unwrap(),
    );
    let mut managed = Managed::with(managed.observation.count.clone());
    managed.see(9, target(5, 7));
    let later = managed.status(9);
    assert_eq!(later.conditions[0].last_transition_time.0, at(5), "still False");
    managed.see(9, target(6, 3));
    assert_eq!(managed.status(9).conditions[0].last_transition_time.0, at(9), "True by now");
}
