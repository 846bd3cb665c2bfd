use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::enforcement::{
    failure::Cause,
    fixtures::{Managed, at, replica_count, target},
    lane::Lane,
};

#[test]
fn a_retry_after_replaces_the_pause() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 7));
    managed.start(0, 3);
    let retry_after = Some(Duration::from_secs(4));
    managed.answer(0, CorrectionAnswer::Failed { cause: Cause::ApiServer, error: "busy".into(), retry_after });
    let failure = managed.memory.correction_failure.as_ref().unwrap();
    assert_eq!(failure.pause(managed.now(1).monotonic), Duration::from_secs(3));
    managed.correct(5, 3, 11);
    assert!(managed.memory.correction_failure.is_none());
}

#[test]
fn a_stored_status_is_not_sent_again() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).scaled_by("kubectl"));
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    // Kubernetes stores whole seconds in conditions.
    let sent = Arc::new(managed.status(1));
    managed.answer_status(2, StatusAnswer::Stored { status: sent.clone(), version: 5, was_changed: false });
    assert_eq!((managed.memory.stored_version, managed.status(60)), (5, (*sent).clone()), "time changes nothing");
    // The echo, which the index keeps.
    let status = serde_json::to_value(&*sent).unwrap();
    managed.observation.count = replica_count(6, 1, json!({"replicas": 3}), status);
    managed.decide(61);
    assert!(Arc::ptr_eq(&managed.memory.stored, &managed.observation.count.status), "the status is kept once");
    assert_eq!(managed.memory.stored_version, 6);
}

#[test]
fn a_status_of_an_event_is_ignored() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let stored = managed.memory.stored.clone();
    let other = json!({"drifts": 8, "conditions": []});
    managed.observation.count = replica_count(7, 1, json!({"replicas": 3}), other);
    managed.decide(1);
    assert!(Arc::ptr_eq(&managed.memory.stored, &stored), "only an answer or a new term changes it");
    assert_eq!((managed.memory.stored_version, managed.status(1).drifts), (1, 0));
}

#[test]
fn a_write_without_an_answer_is_recognised_as_ours() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    let sent = Arc::new(managed.status(1));
    managed.answer_status(
        2,
        StatusAnswer::Failed { cause: Cause::NoAnswer, error: "no answer".into(), status: Some(sent.clone()) },
    );
    managed.see(3, target(12, 8).scaled_by("kubectl"));
    managed.answer_status(4, StatusAnswer::Refused { status: sent, version: 9 });
    assert_eq!(managed.status(4).drifts, 2, "the drift since then is kept");
    assert_eq!(managed.memory.stored.drifts, 1);
}

#[test]
fn a_refusal_after_a_change_of_the_spec_keeps_what_is_known() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let sent = Arc::new(managed.status(0));
    managed.answer_status(0, StatusAnswer::Stored { status: sent.clone(), version: 5, was_changed: false });
    managed.see(1, target(11, 7).scaled_by("kubectl"));
    managed.answer_status(2, StatusAnswer::Refused { status: Arc::new((*sent).clone()), version: 6 });
    assert_eq!((managed.memory.stored_version, managed.status(2).drifts), (6, 1));
}

#[test]
fn a_new_term_starts_from_the_status() {
    let status = json!({
        "observedGeneration": 4, "desired": 5, "observed": 6, "drifts": 2, "appliers": ["helm"],
        "conditions": [{"type": "Contested", "status": "True", "reason": "Autoscaled", "message": "hpa",
                        "lastTransitionTime": at(0).to_string()}],
    });
    let managed = Managed::with(replica_count(8, 4, json!({"replicas": 5}), status));
    let memory = &managed.memory;
    assert_eq!((memory.generation, memory.desired, memory.observed), (Some(4), Some(5), Some(6)));
    assert_eq!((memory.stored_version, memory.appliers.names().collect::<Vec<_>>()), (8, vec!["helm"]));
    assert_eq!(memory.contested.as_ref().map(|contested| contested.reason), Some("Autoscaled"));
    let fresh = Managed::with(replica_count(1, 1, json!({"replicas": 5}), Value::Null));
    assert_eq!((fresh.memory.desired, fresh.memory.contested.clone()), (None, None));
}

#[test]
fn a_target_that_fails_changes_its_lane_until_a_correction_succeeds() {
    let failed = |cause| CorrectionAnswer::Failed { cause, error: "no".into(), retry_after: None };
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 7).scaled_by("kubectl"));
    let mut version = 10;
    for (name, cause, lane) in [
        ("the API server is away", Cause::ApiServer, Lane::Healthy),
        ("refused", Cause::Refused, Lane::Failing),
        ("away after a refusal", Cause::ApiServer, Lane::Failing),
    ] {
        managed.start(0, 3);
        managed.answer(0, failed(cause));
        assert_eq!(managed.memory.correction_lane(), lane, "{name}");
    }
    managed.see(1, target(11, 3).scaled_by("kubectl"));
    assert!(managed.memory.correction_failure.is_none(), "nothing is left to correct");
    assert_eq!(managed.memory.correction_lane(), Lane::Failing, "nothing was shown to succeed");
    managed.correct(2, 3, 12);
    assert_eq!(managed.memory.correction_lane(), Lane::Healthy);
    let mut fail = |managed: &mut Managed| {
        version += 10;
        managed.see(3, target(version, 7).scaled_by("kubectl"));
        managed.start(3, 3);
        managed.answer(3, failed(Cause::NoAnswer));
        assert_eq!(managed.memory.correction_lane(), Lane::Failing);
    };
    fail(&mut managed);
    let decision = managed.set(3, json!({"replicas": 4}));
    assert!(decision.correct.is_some(), "a new spec does not wait");
    assert_eq!(managed.memory.correction_lane(), Lane::Healthy);
    fail(&mut managed);
    let decision = managed.see(3, target(100, 7).scaled_by("kubectl"));
    assert_eq!(decision.correct, None, "an event of the target does wait");
    let decision = managed.see(3, target(101, 7).uid("another"));
    assert!(decision.correct.is_some(), "another target of the same name does not");
}

#[test]
fn a_refusal_keeps_its_pause_whatever_it_asks_for() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 7));
    for _ in 0..20 {
        managed.start(0, 3);
        let retry_after = Some(Duration::from_secs(1));
        managed.answer(0, CorrectionAnswer::Failed { cause: Cause::Refused, error: "no".into(), retry_after });
    }
    let pause = managed.memory.correction_failure.as_ref().unwrap().pause(managed.now(0).monotonic);
    assert!(pause >= Duration::from_secs(150), "{pause:?}");
}

#[test]
fn a_status_that_is_refused_again_and_again_waits() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let mut version = 5;
    let mut refused = |managed: &mut Managed, second| {
        version += 1;
        let other = Arc::new(ReplicaCountStatus { drifts: 7, ..ReplicaCountStatus::default() });
        managed.answer_status(second, StatusAnswer::Refused { status: other, version });
        managed.memory.status_pause(managed.now(second)).as_millis()
    };
    let pauses: Vec<_> = (0..12).map(|_| refused(&mut managed, 0)).collect();
    assert_eq!(pauses[..5], [0, 1000, 2000, 4000, 8000]);
    assert_eq!(pauses[11], 60_000, "and never longer");
    let stored = Arc::new(managed.status(61));
    managed.answer_status(61, StatusAnswer::Stored { status: stored, version: 100, was_changed: false });
    assert_eq!(refused(&mut managed, 62), 60_000, "one that is stored in between proves nothing");
    assert_eq!(refused(&mut managed, 300), 0, "it was quiet for a time");
}

#[test]
fn a_status_that_the_api_server_refuses_waits_longer_each_time() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let failed = |managed: &mut Managed, cause| {
        managed.answer_status(0, StatusAnswer::Failed { cause, error: "no".into(), status: None });
        (managed.memory.status_pause(managed.now(0)).as_secs(), managed.memory.status_lane())
    };
    for (name, cause, expected) in [
        ("away", Cause::ApiServer, (5, Lane::Healthy)),
        ("still away", Cause::ApiServer, (5, Lane::Healthy)),
        ("refused", Cause::Refused, (5, Lane::Failing)),
        ("refused again", Cause::Refused, (10, Lane::Failing)),
        ("no answer", Cause::NoAnswer, (20, Lane::Failing)),
    ] {
        assert_eq!(failed(&mut managed, cause), expected, "{name}");
    }
    let stored = Arc::new(managed.status(0));
    managed.answer_status(0, StatusAnswer::Stored { status: stored, version: 9, was_changed: false });
    assert_eq!(
        (managed.memory.status_pause(managed.now(0)).as_secs(), managed.memory.status_lane()),
        (0, Lane::Healthy)
    );
}
