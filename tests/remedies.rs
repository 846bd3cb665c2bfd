//! `Contested` says what to do about the program that keeps changing the count, and `set` warns of operators.

mod followed;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use support::{Namespace, condition, manifests::Workload, outcome};

/// The message of `Contested`, once the target is contested.
async fn contested(shop: &Namespace<'_>) -> Result<String> {
    let is = |count: &Value| condition(count, "Contested") == Some(("True", "RepeatedDrift"));
    let count = shop.wait_for_replica_count("deployment.web", "Contested", is).await?;
    let conditions = count["status"]["conditions"].as_array().context("no conditions")?;
    let contested = conditions.iter().find(|one| one["type"] == "Contested").context("no Contested")?;
    Ok(contested["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_operator_is_named_by_set_and_in_the_remedy() -> Result<()> {
    let shop = Namespace::shared("operator").await?;
    shop.kubectl(&["create", "configmap", "events"]).await?;
    let uid = shop.get("configmap/events").await?["metadata"]["uid"].clone();
    shop.deployment("web", 2).await?;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "events", "uid": uid, "controller": true});
    let owned = json!({"metadata": {"ownerReferences": [owner]}}).to_string();
    shop.kubectl(&["patch", "deployment/web", "--type=merge", "--patch", &owned]).await?;
    let mut plugin = shop.cluster.plugin();
    let said = cluster::wait::until("the warning", support::PATIENCE, async || {
        let said = outcome(shop.cluster.plugin().args(["set", "web", "3", "--namespace", &shop.name])).await?;
        ensure!(said.stderr.contains("warning: "), "the server has not seen the owner: {said:?}");
        Ok(said)
    })
    .await?;
    ensure!(said.code == Some(0), "{said:?}");
    let warning = "ConfigMap events controls deployment.apps/web in namespace";
    ensure!(said.stderr.contains(warning), "{said:?}");
    for drifts in 1..=3 {
        shop.wait_for_replicas("deployment/web", 3).await?;
        let patch = ["patch", "deployment/web", "--field-manager=strimzi", "--patch={\"spec\":{\"replicas\":5}}"];
        shop.kubectl(&patch).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    let message = contested(&shop).await?;
    let expected = "strimzi keeps changing the count: set the count in ConfigMap events, which owns deployment.apps/web; \
        or delete this ReplicaCount";
    assert_eq!(message, expected);
    let got = outcome(plugin.args(["get", "web", "--namespace", &shop.name])).await?;
    ensure!(got.stdout.contains("set the count in ConfigMap events"), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn an_applied_manifest_gets_another_remedy_than_a_person() -> Result<()> {
    let shop = Namespace::shared("applies").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    let apply = ["apply", "--server-side", "--force-conflicts", "--filename=-"];
    for drifts in 1..=3 {
        shop.wait_for_replicas("deployment/web", 3).await?;
        let replicas = i32::try_from(3 + drifts)?;
        shop.kubectl_with(&apply, &Workload::deployment("web").replicas(replicas).manifest()).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    let message = contested(&shop).await?;
    ensure!(message.contains("somebody applies a manifest or a kustomization with another count"), "{message}");
    // Without the count in the manifest, as the message says, there is one reset to 1, and then no drift.
    let kept = "kubectl replicas set deployment.apps/web COUNT";
    ensure!(message.contains(kept), "{message}");
    cluster::wait::until("the ownership given back", support::PATIENCE, async || {
        let web = shop.get("deployment/web").await?;
        let owners = web["metadata"]["managedFields"].as_array().into_iter().flatten();
        ensure!(owners.into_iter().all(|owner| owner["manager"] != "replica-count-manager"), "{web}");
        Ok(())
    })
    .await?;
    shop.kubectl_with(&apply, &Workload::deployment("web").manifest()).await?;
    let after = shop.wait_for_drifts("deployment.web", 4).await?;
    assert_eq!(after["lastDrift"]["manager"], "kubectl", "{after}");
    for _ in 0..3 {
        shop.kubectl_with(&apply, &Workload::deployment("web").manifest()).await?;
    }
    shop.kubectl(&["annotate", "replicacount/deployment.web", "synced=yes"]).await?;
    let count = shop.wait_for_drifts("deployment.web", 4).await?;
    assert_eq!(count["observed"], 3, "{count}");
    Ok(())
}
