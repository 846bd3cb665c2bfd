//! What the controller makes of a target's states, whatever they are.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::tracked::ManagedTarget;
use crate::{
    index::{KindState, TargetSnapshot},
    resources::{ReplicaCount, ReplicaCountState, Target, TargetKey, TargetKind, fixtures::full_replica_count},
};

/// A moment: what should hold, and what is there.
#[derive(Deserialize)]
struct Moment {
    count: ReplicaCount,
    target: Option<Target>,
}

fn moment(version: u64, replicas: i32, manager: &str, operation: &str) -> Value {
    let mut count = serde_json::to_value(full_replica_count()).unwrap();
    count["metadata"]["resourceVersion"] = version.to_string().into();
    let fields = json!({"f:spec": {"f:replicas": {}}});
    let entry = json!({"manager": manager, "operation": operation, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields});
    json!({"count": count, "target": {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string(),
                     "managedFields": [entry]},
        "spec": {"replicas": replicas}, "status": {"readyReplicas": replicas},
    }})
}

#[test]
fn whatever_it_sees_it_has_a_plan_and_a_status() {
    let seeds = [
        json!([moment(7, 3, "replica-count-manager", "Update"), moment(8, 7, "kubectl", "Update")]),
        json!([moment(7, 3, "helm", "Apply"), moment(8, 0, "kubectl", "Update"), moment(9, 3, "helm", "Apply")]),
    ];
    let words = ["null", "9223372036854775807", "\"override\":null,", "\"replicas\":5,", "\"status\":null,"];
    let now = "2026-01-01T12:00:00Z".parse().unwrap();
    let kind = KindState::Watched(Arc::new(TargetKind::apps()[0].clone()));
    fuzz::target("controller").seeds(seeds.map(|seed| seed.to_string())).words(words).bytes(|input| {
        let Ok(moments) = serde_json::from_slice::<Vec<Moment>>(input) else { return false };
        let mut managed: Option<ManagedTarget> = None;
        for Moment { count, target } in moments {
            let count = Arc::new(ReplicaCountState::from(count));
            let key = TargetKey::new("shop", "", "", "web").unwrap();
            let target = target.map(|target| Arc::new(target.state));
            let version = target.as_ref().map_or(0, |target| target.resource_version);
            let seen = TargetSnapshot { key, count: None, target, kind: kind.clone(), autoscaler: None, at: now };
            let managed = managed.get_or_insert_with(|| ManagedTarget::new(count.clone(), 100));
            managed.observe(count, seen);
            let _ = (managed.observation(now).plan(), managed.observation(now).again_in(), managed.pause(now));
            let _ = (managed.give_back(now), managed.contest_to_tell(now));
            managed.note_correcting(3);
            managed.note_written(Some((3, version)), now);
            if let Some(status) = managed.status_to_send(now) {
                serde_json::to_vec(&*status).unwrap();
                managed.note_stored(status, version);
            }
        }
        true
    });
}
