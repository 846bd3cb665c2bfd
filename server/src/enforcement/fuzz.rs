//! The decisions about any states of a target.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    fixtures::{Managed, at, watched_deployments},
    writes::{CorrectionAnswer, StatusAnswer},
};
use crate::resources::{ReplicaCount, ReplicaCountState, Target, fixtures::full_replica_count};

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
fn every_state_has_a_decision_and_a_status() {
    let seeds = [
        json!([moment(7, 3, "replica-count-manager", "Update"), moment(8, 7, "kubectl", "Update")]),
        json!([moment(7, 3, "helm", "Apply"), moment(8, 0, "kubectl", "Update"), moment(9, 3, "helm", "Apply")]),
    ];
    let words = ["null", "9223372036854775807", "\"override\":null,", "\"replicas\":5,", "\"status\":null,"];
    fuzz::target("enforcement").seeds(seeds.map(|seed| seed.to_string())).words(words).bytes(|input| {
        let Ok(moments) = serde_json::from_slice::<Vec<Moment>>(input) else { return false };
        let mut managed: Option<Managed> = None;
        for (second, Moment { count, target }) in (0..).zip(moments) {
            let count = Arc::new(ReplicaCountState::from(count));
            let managed = managed.get_or_insert_with(|| Managed::with(count.clone()));
            managed.observation.count = count;
            managed.observation.kind = watched_deployments();
            managed.observation.at = at(second);
            managed.observation.target = target.map(|target| Arc::new(target.state));
            let version = managed.observation.target.as_ref().map_or(0, |target| target.resource_version);
            managed.decide(second);
            managed.start(second, 3);
            managed.answer(second, CorrectionAnswer::Scaled { to: 3, stored: 3, version, was_changed: true });
            let status = Arc::new(managed.status(second));
            serde_json::to_vec(&*status).unwrap();
            managed.answer_status(second, StatusAnswer::Refused { status: status.clone(), version });
            managed.answer_status(second, StatusAnswer::Stored { status, version, was_changed: false });
        }
        true
    });
}
