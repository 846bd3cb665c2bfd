use serde_json::{Value, json};

use super::*;
use crate::resources::{ReplicaCount, Target, TargetKey, TargetKind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

const MAX: i32 = 100;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn count(version: u64, spec: Value, status: &Value) -> Arc<ReplicaCountState> {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let mut object = json!({
        "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
        "metadata": {
            "name": "deployment.web", "namespace": "shop", "resourceVersion": version.to_string(),
            "generation": version, "annotations": {"replica-count-manager.io/set-by": "alice"},
            "managedFields": [{"manager": "replica-count-manager", "operation": "Update",
                               "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
        },
        "spec": spec, "status": status,
    });
    object["spec"]["scaleTargetRef"] = target;
    Arc::new(serde_json::from_value::<ReplicaCount>(object).unwrap().into())
}

fn replicas(version: u64, replicas: i32) -> Arc<ReplicaCountState> {
    count(version, json!({"replicas": replicas}), &Value::Null)
}

fn seen(target: Option<(u64, i32, &str)>, at: Timestamp) -> TargetSnapshot {
    let target = target.map(|(version, replicas, manager)| {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string(),
                "managedFields": [{"manager": manager, "operation": "Update", "subresource": "scale",
                                   "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
            "spec": {"replicas": replicas}, "status": {"readyReplicas": replicas},
        });
        Arc::new(serde_json::from_value::<Target>(object).unwrap().state)
    });
    let kind = KindState::Watched(Arc::new(TargetKind::apps()[0].clone()));
    TargetSnapshot {
        key: TargetKey::new("shop", "", "", "web").unwrap(),
        count: None,
        target,
        kind,
        autoscaler: None,
        at,
    }
}

fn ready(managed: &ManagedTarget) -> String {
    managed.status(at(0)).conditions[0].reason.clone()
}

#[test]
fn a_drift_is_told_from_the_start_of_the_management_and_from_our_own_writes() {
    let count = replicas(1, 3);
    let mut managed = ManagedTarget::new(count.clone(), MAX);
    // Management starts with another count: nobody changed it.
    assert!(managed.observe(count.clone(), seen(Some((10, 2, "helm")), at(0))).is_none());
    assert_eq!(ready(&managed), "Correcting");
    managed.note_written(Some((3, 11)), at(1));
    assert_eq!(managed.history.take_ended(), None);
    assert!(managed.observe(count.clone(), seen(Some((11, 3, "replica-count-manager")), at(1))).is_none());
    assert_eq!(ready(&managed), "InPlace");
    let drift = managed.observe(count.clone(), seen(Some((12, 7, "kubectl")), at(2))).unwrap().clone();
    assert_eq!((drift.manager.as_str(), drift.from, drift.to, drift.corrected_at), ("kubectl", 3, 7, None));
    // Another event of the same state is not another drift.
    assert!(managed.observe(count.clone(), seen(Some((13, 7, "kubectl")), at(3))).is_none());
    managed.note_written(Some((3, 14)), at(4));
    let ended = managed.history.take_ended().unwrap();
    assert_eq!(ended.corrected_at, Some(MicroTime(at(4))));
    // A late write of ours is corrected, and is nobody's drift.
    assert!(managed.observe(count, seen(Some((15, 4, "replica-count-manager")), at(5))).is_none());
    assert_eq!(managed.status(at(5)).drifts, 1);
}

#[test]
fn the_status_names_the_latest_five_actors_and_ten_changes() {
    let mut managed = ManagedTarget::new(replicas(1, 0), MAX);
    for step in 1..=12 {
        let count = replicas(step, i32::try_from(step).unwrap());
        let manager = format!("manager-{}", step % 7);
        managed.observe(count.clone(), seen(Some((2 * step, 50, &manager)), at(0)));
        managed.observe(count, seen(Some((2 * step + 1, 60, &manager)), at(0)));
    }
    let status = managed.status(at(0));
    let managers: Vec<_> = status.drifters.iter().map(|drifter| drifter.manager.as_str()).collect();
    assert_eq!(managers, ["manager-5", "manager-4", "manager-3", "manager-2", "manager-1"]);
    let changes: Vec<_> = status.changes.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(changes[..2], [(Some(11), 12), (Some(10), 11)]);
    assert_eq!((changes.len(), status.changes[0].by.as_str()), (10, "alice"));
}

#[test]
fn a_server_that_starts_again_goes_on_where_the_status_says() {
    let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 4, "conditions": []});
    let count = count(1, json!({"replicas": 3}), &status);
    let mut managed = ManagedTarget::new(count.clone(), MAX);
    let drift = managed.observe(count, seen(Some((20, 8, "helm")), at(0))).unwrap();
    assert_eq!((drift.from, drift.to), (3, 8));
    let status = managed.status(at(0));
    assert_eq!((status.drifts, status.changes), (5, vec![]));
}

#[test]
fn a_status_is_stored_once() {
    let mut managed = ManagedTarget::new(replicas(1, 3), MAX);
    managed.observe(replicas(1, 3), seen(Some((10, 3, "kubectl")), at(0)));
    let now = Timestamp::from_microsecond(at(0).as_microsecond() + 123_456).unwrap();
    managed.observe(replicas(1, 3), seen(Some((11, 7, "kubectl")), now));
    let sent = managed.status_to_send(now).unwrap();
    // As it comes back through the watch.
    let echo = count(2, json!({"replicas": 3}), &serde_json::to_value(&*sent).unwrap());
    let echo = Arc::new(ReplicaCountState { generation: Some(1), ..(*echo).clone() });
    managed.observe(echo, seen(Some((11, 7, "kubectl")), at(60)));
    assert_eq!(managed.status_to_send(at(60)), None, "neither the echo nor the time changes anything");
}

#[test]
fn what_another_server_has_stored_is_taken_over() {
    let mut managed = ManagedTarget::new(replicas(1, 3), MAX);
    managed.observe(replicas(1, 3), seen(Some((10, 3, "kubectl")), at(0)));
    managed.observe(replicas(1, 3), seen(Some((11, 7, "kubectl")), at(1)));
    let mut other = managed.status(at(1));
    (other.drifts, other.drifters[0].manager) = (8, "helm".to_owned());
    managed.observe(count(2, json!({"replicas": 3}), &serde_json::to_value(&other).unwrap()), seen(None, at(2)));
    let status = managed.status(at(2));
    assert_eq!((status.drifts, status.drifters[0].manager.as_str()), (8, "helm"));
}

#[test]
fn a_write_of_ours_that_leaves_no_owner_is_no_drift() {
    let ownerless = |version, replicas, at| {
        let target = TargetState { replicas: Some(replicas), resource_version: version, ..TargetState::default() };
        TargetSnapshot { target: Some(Arc::new(TargetState { uid: "u".into(), ..target })), ..seen(None, at) }
    };
    let mut managed = ManagedTarget::new(replicas(1, 0), MAX);
    managed.observe(replicas(1, 0), seen(Some((10, 3, "kubectl")), at(0)));
    managed.note_correcting(0);
    // The next Set is known before the echo of the correction to 0.
    managed.observe(replicas(2, 5), seen(Some((10, 3, "kubectl")), at(1)));
    assert!(managed.observe(replicas(2, 5), ownerless(11, 0, at(1))).is_none());
    managed.note_written(Some((0, 11)), at(1));
    assert!(managed.observe(replicas(2, 5), ownerless(12, 2, at(2))).is_some(), "that was somebody else");
}

#[test]
fn the_end_of_an_override_is_a_change_by_nobody() {
    let over = json!({"replicas": 9, "until": at(10).to_string(), "reason": "sale"});
    let status = json!({"observedGeneration": 1, "desired": 9, "conditions": []});
    let count = count(1, json!({"replicas": 3, "override": over}), &status);
    let mut managed = ManagedTarget::new(count, MAX);
    managed.note_change(at(10));
    let change = &managed.status(at(10)).changes[0];
    assert_eq!((change.from, change.to, change.by.as_str()), (Some(9), 3, ""));
    assert_eq!(change.reason, "the override ended");
}

#[test]
fn numbers_at_their_limits_stay_there() {
    let drifter = json!({"manager": "kubectl", "count": i64::MAX, "from": 3, "to": 7, "last": at(0).to_string()});
    let status = json!({"drifts": i64::MAX, "desired": 3, "observed": 3, "drifters": [drifter], "conditions": []});
    let count = count(1, json!({"replicas": 3}), &status);
    let mut managed = ManagedTarget::new(count.clone(), MAX);
    assert!(managed.observe(count, seen(Some((u64::MAX, 7, "kubectl")), at(1))).is_some());
    let status = managed.status(at(1));
    assert_eq!((status.drifts, status.drifters[0].count), (i64::MAX, i64::MAX));
    managed.note_given_back(&GivenBack::Done(u64::MAX));
}
