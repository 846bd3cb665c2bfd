//! A cache with something of everything in it, for tests of what reads it.

use std::sync::Arc;

use serde_json::json;

use super::{Index, KindState, Source};
use crate::resources::{Labels, ReplicaCount, TargetKey, TargetKind, TargetState};

/// Makes a cache that has read the namespace `shop`: the Deployment `web` is managed, `db` is not, `api` has an
/// autoscaler.
pub(crate) fn index() -> Index {
    let index = Index::default();
    for kind in TargetKind::apps() {
        index.sync_state.mark_synced(&Source::Targets(kind.group_kind.clone()));
        index.set_kind(&kind.group_kind.clone(), KindState::Watched(Arc::new(kind)));
    }
    [Source::Counts, Source::Autoscalers].iter().for_each(|source| index.sync_state.mark_synced(source));
    for name in ["web", "db", "api"] {
        let labels = Labels::from(&[("app".to_owned(), name.to_owned())].into());
        let state = TargetState { replicas: Some(3), ready: Some(2), labels, ..TargetState::default() };
        index.set_target(key(name), Some(state));
    }
    // No version is newer, so no read waits for one.
    index.set_count(key("web"), Some(count().into()), u64::MAX);
    index.set_autoscaler(("shop".into(), "api".into()), Some(key("api")));
    index
}

/// The ReplicaCount of `web`.
pub(crate) fn count() -> ReplicaCount {
    let (at, fields) = ("2026-01-01T00:00:00.000001Z", json!({"f:spec": {"f:replicas": {}}}));
    let object = json!({
        "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
        "metadata": {
            "name": "deployment.web", "namespace": "shop", "uid": "u", "generation": 2, "resourceVersion": "7",
            "annotations": {"replica-count-manager.io/set-by": "alice"},
            "managedFields": [{"manager": "replica-count-manager", "operation": "Update", "fieldsType": "FieldsV1",
                               "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}],
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "replicas": 3, "originalReplicas": 2, "reason": "load test",
            "override": {"replicas": 10, "until": "2026-01-02T00:00:00Z", "reason": "sale", "thenUnset": false},
        },
        "status": {
            "observedGeneration": 2, "desired": 3, "observed": 3, "ready": 2, "drifts": 1, "appliers": ["helm"],
            "lastDrift": {"manager": "kubectl", "operation": "Update", "subresource": "scale", "from": 3, "to": 7,
                          "at": at, "correctedAt": at},
            "drifters": [{"manager": "kubectl", "count": 1, "from": 3, "to": 7, "last": at}],
            "changes": [{"from": 2, "to": 3, "by": "alice", "reason": "load test", "at": at}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "AtDesiredCount", "message": "",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    });
    serde_json::from_value(object).unwrap()
}

fn key(name: &str) -> TargetKey {
    TargetKey::new("shop", "", "", name).unwrap()
}
