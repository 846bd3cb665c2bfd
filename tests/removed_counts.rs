//! Counts of custom resources that somebody removes: their CRDs have no default for the count.

use anyhow::{Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use crate::custom_resources::{Definition, Kind};
use support::{Namespace, PATIENCE, namespace::ExpectedEvent};

/// The latest drift in short: who made it, and the counts before and after.
fn short(status: &Value) -> Value {
    let drift = &status["lastDrift"];
    json!([drift["manager"], drift["from"], drift["to"]])
}

/// Waits until the tool that applies the Widget owns the count again, since an earlier second.
async fn wait_for_ownership(shop: &Namespace<'_>, kind: &Kind<'_>) -> Result<()> {
    wait::until("the ownership of the count", PATIENCE, async || {
        let widget = shop.get(&kind.object()).await?;
        let now = jiff::Timestamp::now().to_string();
        let mut entries = widget["metadata"]["managedFields"].as_array().into_iter().flatten();
        let is_owner = entries.any(|entry| {
            entry["manager"] == "gitops"
                && entry.pointer("/fieldsV1/f:spec/f:replicas").is_some()
                && entry["time"].as_str().is_some_and(|time| time < now.as_str())
        });
        ensure!(is_owner, "{widget}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_removal_of_a_count_is_a_drift() -> Result<()> {
    let shop = Namespace::shared("removals").await?;
    let kind = Kind::new(&shop);
    kind.define(Definition { has_ready: true, ..Definition::of("v1") }).await?;
    kind.grant().await?;
    kind.apply("v1", json!({"replicas": 2, "paused": false})).await?;
    kind.hold(3).await?;
    kind.wait_for_replicas("replicas", 3).await?;
    wait_for_ownership(&shop, &kind).await?;
    let is_seen = |count: &Value| count["status"]["observed"] == 3;
    shop.wait_for_replica_count(&kind.count_name(), "the count in place", is_seen).await?;
    shop.kubectl(&["patch", &kind.object(), "--type=merge", "--patch={\"spec\":{\"replicas\":null}}"]).await?;
    let status = shop.wait_for_drifts(&kind.count_name(), 1).await?;
    assert_eq!(short(&status), json!(["unknown", 3, null]), "{status}");
    kind.wait_for_replicas("replicas", 3).await?;
    let (namespace, reason) = (&*shop.name, "ReplicasPutBack");
    let note = "unknown changed the replica count; put back to 3";
    ExpectedEvent { namespace, kind: "Widget", reason, note }.wait(shop.cluster).await?;

    // An applier that leaves its count out is the one who has removed it.
    wait_for_ownership(&shop, &kind).await?;
    kind.apply("v1", json!({"paused": false})).await?;
    let status = shop.wait_for_drifts(&kind.count_name(), 2).await?;
    assert_eq!(short(&status), json!(["gitops", 3, null]), "{status}");
    kind.wait_for_replicas("replicas", 3).await?;
    kind.end().await
}
