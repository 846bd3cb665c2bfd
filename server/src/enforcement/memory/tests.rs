use serde_json::{Value, json};

use super::*;
use crate::enforcement::fixtures::{Managed, at, replica_count, target};

#[test]
fn a_retry_after_replaces_the_pause() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 7));
    managed.start(0, 3);
    let retry_after = Some(Duration::from_secs(4));
    managed.answer(0, CorrectionAnswer::Failed { error: "busy".into(), retry_after });
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
    managed.answer_status(2, StatusAnswer::Stored { status: sent.clone(), version: 5 });
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
    managed.answer_status(2, StatusAnswer::Failed { status: Some(sent.clone()) });
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
    managed.answer_status(0, StatusAnswer::Stored { status: sent.clone(), version: 5 });
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
