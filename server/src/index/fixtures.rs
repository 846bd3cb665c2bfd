//! An index with something of everything in it, for tests of its readers.

use std::sync::Arc;

use serde_json::json;

use super::{Index, KindState, WatchSource};
use crate::resources::{
    TargetKind, TargetState,
    fixtures::{ReplicaCountBuilder, TargetBuilder, deployment_key, full_replica_count},
};

/// Stores a `ReplicaCount` of a Deployment with this lasting count, or removes it.
pub(crate) fn set_replica_count(index: &Index, name: &str, replicas: Option<i32>) {
    let count = |replicas| ReplicaCountBuilder::new(name).generation(2).spec(json!({"replicas": replicas})).state();
    let count = replicas.map(count);
    index.set_replica_count(deployment_key(name), count, 0);
}

/// Stores a `ReplicaCount` of a Deployment that a user has set, for a reason.
pub(crate) fn hold(index: &Index, name: &str, replicas: i32, user: &str, reason: &str) {
    let spec = json!({"replicas": replicas, "reason": reason});
    let count = ReplicaCountBuilder::new(name).set_by(user).spec(spec).version(8).state();
    index.set_replica_count(deployment_key(name), Some(count), 0);
}

/// Stores a new version of a Deployment, with this count.
pub(crate) fn set_target(index: &Index, name: &str, version: u64, replicas: i32) {
    let target = TargetBuilder::new(name).metadata(json!({"resourceVersion": version.to_string()})).state();
    index.set_target(deployment_key(name), Some(TargetState { replicas: Some(replicas), ..target }));
}

/// Removes a Deployment.
pub(crate) fn remove_target(index: &Index, name: &str) {
    index.set_target(deployment_key(name), None);
}

/// Builds an index of three Deployments: `web` is managed, `db` is not, and `api` has an autoscaler.
pub(crate) fn index() -> Index {
    let index = Index::default();
    for kind in TargetKind::apps() {
        index.sync_state.mark_synced(&WatchSource::Targets(kind.group_kind.clone()));
        index.set_kind(&kind.group_kind.clone(), KindState::Watched(Arc::new(kind)));
    }
    [WatchSource::ReplicaCounts, WatchSource::Autoscalers]
        .iter()
        .for_each(|source| index.sync_state.mark_synced(source));
    for name in ["web", "db", "api"] {
        let target = TargetBuilder::new(name).labels(json!({"app": name})).state();
        index.set_target(deployment_key(name), Some(target));
    }
    // The index claims to hold every version, so no read waits for one.
    index.set_replica_count(deployment_key("web"), Some(full_replica_count().into()), u64::MAX);
    index.set_autoscaler(("shop".into(), "api".into()), Some(deployment_key("api")));
    index
}
