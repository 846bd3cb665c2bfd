//! Targets with long names have Events, too.

use anyhow::Result;
use serde_json::{Value, json};

use support::{Namespace, namespace::ExpectedEvent};

#[tokio::test]
async fn a_target_with_the_longest_name_has_an_event() -> Result<()> {
    let shop = Namespace::shared("long-name").await?;
    let name = "w".repeat(242);
    // The name is too long for a label.
    let template =
        json!({"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}});
    let spec = json!({"replicas": 2, "paused": true, "selector": {"matchLabels": {"app": "w"}}, "template": template});
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec});
    shop.kubectl_with(&["create", "--filename=-"], &manifest.to_string()).await?;
    shop.set(&name, 2).await?;
    let replica_count = format!("deployment.{name}");
    let in_place = |count: &Value| count["status"]["observed"] == 2;
    shop.wait_for_replica_count(&replica_count, "the target in place", in_place).await?;
    shop.kubectl(&["scale", &format!("deployment/{name}"), "--replicas=7"]).await?;
    let note = "kubectl changed the replica count; put back to 2";
    let event = ExpectedEvent { namespace: &shop.name, kind: "Deployment", reason: "ReplicasPutBack", note };
    event.wait(shop.cluster).await
}
