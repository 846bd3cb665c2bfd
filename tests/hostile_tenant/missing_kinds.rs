//! ReplicaCounts of kinds that do not exist.

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::{Api, Client, api::PostParams};
use replica_count_manager::resources::ReplicaCount;
use serde_json::json;

/// Concurrent requests that create objects.
const WRITERS: usize = 16;

/// The ReplicaCount of a kind that does not exist, in a group of its own.
pub(super) fn replica_count(group: &str) -> Result<ReplicaCount> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
        "metadata": {"name": name(group)},
        "spec": {"scaleTargetRef": {"apiVersion": format!("{group}/v1"), "kind": "Widget", "name": "w"},
                 "replicas": 3, "reason": "x".repeat(900)},
    }))?)
}

/// The name of that ReplicaCount.
pub(super) fn name(group: &str) -> String {
    format!("widget.{group}.w")
}

/// The group of one of the kinds that are there from the start.
pub(super) fn group(number: usize) -> String {
    format!("missing-{number}.example.com")
}

/// Creates ReplicaCounts as the tenant, each of another kind.
pub(super) async fn create(editor: &Client, namespace: &str, kinds: usize) -> Result<()> {
    let counts: Api<ReplicaCount> = Api::namespaced(editor.clone(), namespace);
    let create = |number| {
        let counts = counts.clone();
        async move {
            counts.create(&PostParams::default(), &replica_count(&group(number))?).await?;
            anyhow::Ok(())
        }
    };
    stream::iter((0..kinds).map(create)).buffer_unordered(WRITERS).try_collect().await
}
