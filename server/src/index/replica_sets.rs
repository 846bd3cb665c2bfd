//! Managed ReplicaSets that have a controller. The index leaves such ReplicaSets out until a `ReplicaCount` names them,
//! so they are read one by one then.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use kube::{Api, Client, core::DynamicObject};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::store::Index;
use crate::{
    resources::{TargetKey, TargetKind, TargetState},
    telemetry,
};

/// How long one ReplicaSet can take to be read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a ReplicaSet that could not be read.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads managed ReplicaSets that the index does not know, one at a time, for as long as it is polled.
pub(super) async fn read_managed(index: &Index, client: &Client, kind: &Arc<TargetKind>) -> Infallible {
    // A ReplicaSet that does not exist yet comes with a watch event when it is created.
    let mut tried = BTreeSet::new();
    loop {
        index.missing_replica_sets.notified().await;
        if index.kind(&kind.group_kind).is_none() {
            // The first list is under way, and wakes this loop when it is complete.
            continue;
        }
        let missing = index.missing_of(&kind.group_kind);
        tried.retain(|key| missing.contains(key));
        for key in missing {
            if tried.contains(&key) {
                continue;
            }
            match timeout(TIMEOUT, read(client, kind, &key)).await {
                Ok(Ok(target)) => {
                    // The watch may have delivered a newer state in the meantime.
                    if let Some(target) = target.filter(|target| target.controller.is_some())
                        && index.get(&key).target.is_none()
                    {
                        index.set_listed_target(key.clone(), target);
                    }
                    tried.insert(key);
                }
                failure => {
                    let error = match &failure {
                        Ok(Err(error)) => telemetry::chain(error),
                        _ => "no answer".to_owned(),
                    };
                    debug!(%key, error, "ReplicaSet could not be read, trying again");
                    sleep(PAUSE).await;
                    index.missing_replica_sets.notify_one();
                    break;
                }
            }
        }
    }
}

async fn read(client: &Client, kind: &TargetKind, key: &TargetKey) -> Result<Option<TargetState>, kube::Error> {
    let replica_sets: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, &kind.resource());
    Ok(replica_sets.get_opt(&key.name).await?.map(|object| TargetState::of(&object, kind)))
}
