//! Managed ReplicaSets that have a controller. The index leaves such ReplicaSets out until a `ReplicaCount` names them,
//! so they are read one by one then.

use std::{convert::Infallible, sync::Arc, time::Duration};

use kube::{Api, Client, core::DynamicObject};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::store::Index;
use crate::{
    resources::{Lenient, TargetKey, TargetKind, TargetState},
    telemetry,
};

/// How long one ReplicaSet can take to be read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before ReplicaSets that could not be read are read again.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads managed ReplicaSets that the index does not know, one at a time and each once, for as long as it is polled.
pub(super) async fn read_managed(index: &Index, client: &Client, kind: &Arc<TargetKind>) -> Infallible {
    loop {
        index.missing_replica_sets.notified().await;
        if index.kind(&kind.group_kind).is_none() {
            // The first list is under way, and wakes this loop when it is complete.
            continue;
        }
        let mut failed = Vec::new();
        // A ReplicaSet that does not exist yet comes with a watch event when it is created.
        for key in index.take_missing_replica_sets() {
            // The watch may have delivered it in the meantime.
            let is_missing = || {
                let known = index.get(&key);
                known.count.is_some() && known.target.is_none()
            };
            if !is_missing() {
                continue;
            }
            match timeout(TIMEOUT, read(client, kind, &key)).await {
                Ok(Ok(target)) => {
                    if let Some(target) = target.filter(|target| target.controller.is_some() && is_missing()) {
                        index.set_listed_target(key.clone(), target);
                    }
                }
                failure => {
                    let error = match &failure {
                        Ok(Err(error)) => telemetry::chain(error),
                        _ => "no answer".to_owned(),
                    };
                    debug!(%key, error, "ReplicaSet could not be read, trying again");
                    failed.push(key);
                }
            }
        }
        if !failed.is_empty() {
            sleep(PAUSE).await;
            index.add_missing_replica_sets(failed);
        }
    }
}

/// Reads a ReplicaSet. One that does not fit its type counts as absent, as in a watch.
async fn read(client: &Client, kind: &TargetKind, key: &TargetKey) -> Result<Option<TargetState>, kube::Error> {
    let replica_sets: Api<Lenient<DynamicObject>> =
        Api::namespaced_with(client.clone(), &key.namespace, &kind.resource());
    let object = replica_sets.get_opt(&key.name).await?.and_then(|object| object.read().ok());
    Ok(object.map(|object| TargetState::of(&object, kind)))
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        index::KindState,
        resources::fixtures::{ReplicaCountBuilder, TargetBuilder},
    };

    /// A ReplicaSet that a Deployment controls.
    fn controlled(name: &str, metadata: Value) -> Value {
        TargetBuilder::new(name).controlled_by("Deployment", "web").metadata(metadata).object()
    }

    #[tokio::test(start_paused = true)]
    async fn one_replica_set_that_cannot_be_read_keeps_no_other_from_being_read() {
        let answer = tower::service_fn(|request: Request<Body>| async move {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let (code, object) = match &*name {
                "a" => (500_u16, json!({"status": "Failure", "message": "broken", "reason": "", "code": 500})),
                "b" => (200, json!(1)),
                "c" => (200, controlled("c", json!({"managedFields": [{"time": "9999-12-31T00:00:00Z"}]}))),
                name => (200, controlled(name, json!({}))),
            };
            let body = Body::from(object.to_string().into_bytes());
            Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
        });
        let (index, client) = (Index::default(), Client::new(answer, "default"));
        let [.., kind] = TargetKind::apps();
        let kind = Arc::new(kind);
        index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
        let keys = ["a", "b", "c", "d"].map(|name| TargetKey::new("shop", "apps", "ReplicaSet", name).unwrap());
        for key in &keys {
            index.set_replica_count(key.clone(), Some(ReplicaCountBuilder::new(&key.name).state()), 1);
        }
        let read = timeout(PAUSE / 2, read_managed(&index, &client, &kind)).await;
        assert!(read.is_err(), "it never ends");
        let known = keys.map(|key| index.get(&key).target.is_some());
        assert_eq!(known, [false, false, true, true]);
    }
}
