//! What the status shows, and where the next leader goes on.

use super::*;

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
    assert_eq!(short(decision.drift.as_ref()), Some(("helm", "Update", "scale", Some(3), Some(8))));
    let status = managed.status(0);
    assert_eq!((status.drifts, status.changes), (5, vec![]));
}

#[test]
fn the_status_names_the_latest_five_actors_and_twenty_changes_and_drifts() {
    let mut managed = Managed::at(0);
    for step in 1..=25u64 {
        let replicas = i32::try_from(step).unwrap();
        managed.set(0, json!({"replicas": replicas}));
        let manager = format!("manager-{}", step % 7);
        managed.see(0, target(2 * step, 50).scaled_by(&manager));
        managed.see(0, target(2 * step + 1, 60).scaled_by(&manager));
    }
    let status: ReplicaCountStatus = managed.status(0);
    let managers: Vec<_> = status.drifters.iter().map(|drifter| drifter.manager.as_str()).collect();
    assert_eq!(managers, ["manager-4", "manager-3", "manager-2", "manager-1", "manager-0"]);
    let changes: Vec<_> = status.changes.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(changes[..2], [(Some(24), 25), (Some(23), 24)]);
    assert_eq!((changes.len(), &*status.changes[0].by), (20, "alice"));
    let numbers: Vec<_> = status.recent_drifts.iter().map(|drift| drift.number).collect();
    assert_eq!((numbers.len(), numbers[..2].to_vec(), status.drifts), (20, vec![49, 48], 49));
    assert_eq!(status.last_drift.as_deref(), status.recent_drifts.first());
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
