//! The server corrects every drift, and names its actor.

use std::{pin::pin, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use futures::TryStreamExt;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use replica_count_manager::resources::ReplicaCount;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use support::{
    Namespace, PATIENCE, condition,
    manifests::{ReplicaCountManifest, Workload, names},
};

/// Checks that the latest drift is corrected, and that its actor is named.
fn assert_drift(status: &Value, manager: &str, from: i64, to: i64) {
    let drift = &status["lastDrift"];
    assert_eq!(
        (&drift["manager"], &drift["from"], &drift["to"]),
        (&json!(manager), &json!(from), &json!(to)),
        "{status}"
    );
    assert_eq!(status["observed"], json!(from), "{status}");
}

#[tokio::test]
async fn every_way_to_change_a_deployment_with_kubectl_is_corrected() -> Result<()> {
    let shop = Namespace::shared("drift").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;

    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 1).await?, "kubectl", 3, 7);

    shop.kubectl(&["patch", "deployment/web", "--patch={\"spec\":{\"replicas\":5}}"]).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 2).await?, "kubectl-patch", 3, 5);

    let mut edited = shop.get("deployment/web").await?;
    edited["spec"]["replicas"] = json!(4);
    // Without the resource version, a status that changed meanwhile does not cause a conflict.
    edited["metadata"].as_object_mut().context("no metadata")?.remove("resourceVersion");
    shop.kubectl_with(&["replace", "--filename=-", "--field-manager=kubectl-edit"], &edited.to_string()).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 3).await?, "kubectl-edit", 3, 4);

    shop.kubectl_with(&["apply", "--filename=-"], &Workload::deployment("web").replicas(6).manifest()).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 4).await?, "kubectl-client-side-apply", 3, 6);

    let status = shop.wait_for_drifts("deployment.web", 4).await?;
    let drifters = status["drifters"].as_array().context("no drifters")?;
    let drifters: Vec<_> = drifters.iter().map(|drifter| &drifter["manager"]).collect();
    assert_eq!(drifters, ["kubectl-client-side-apply", "kubectl-edit", "kubectl-patch", "kubectl"]);
    assert_eq!(shop.replicas("deployment/web").await?, 3);
    Ok(())
}

#[tokio::test]
async fn the_status_shows_a_drift_together_with_its_correction() -> Result<()> {
    let shop = Namespace::shared("reported").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let counts: Api<ReplicaCount> = Api::namespaced(shop.cluster.control_plane.client().await?, &shop.name);
    let mut events = pin!(counts.watch(&WatchParams::default(), "0").await?);
    let begun = Instant::now();
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    let reported = async {
        loop {
            let event = events.try_next().await?.context("the watch has ended")?;
            let (WatchEvent::Added(count) | WatchEvent::Modified(count)) = event else { continue };
            if let Some(drift) = count.status.and_then(|status| status.last_drift) {
                return anyhow::Ok(drift);
            }
        }
    };
    let drift = timeout(PATIENCE, reported).await??;
    // The server reports a drift before its correction only if the correction takes a second.
    let is_slow = begun.elapsed() > Duration::from_secs(1);
    ensure!(drift.corrected_at.is_some() || is_slow, "reported before its correction: {drift:?}");
    Ok(())
}

#[tokio::test]
async fn a_forced_server_side_apply_is_corrected() -> Result<()> {
    let shop = Namespace::shared("forced").await?;
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "--filename=-"];
    shop.kubectl_with(&apply, &Workload::deployment("web").replicas(2).manifest()).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    shop.kubectl_with(&apply, &Workload::deployment("web").replicas(8).manifest()).await?;
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    assert_drift(&status, "gitops", 3, 8);
    assert_eq!(status["lastDrift"]["operation"], "Apply");
    Ok(())
}

#[tokio::test]
async fn a_drift_of_a_stateful_set_is_corrected() -> Result<()> {
    let shop = Namespace::shared("stateful").await?;
    shop.stateful_set("db", 1).await?;
    let target = json!({"namespace": shop.name, "kind": "StatefulSet", "name": "db"});
    let request = json!({"target": target, "replicas": 2});
    shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await?;
    shop.wait_for_replicas("statefulset/db", 2).await?;
    shop.kubectl(&["scale", "statefulset/db", "--replicas=4"]).await?;
    assert_drift(&shop.wait_for_drifts("statefulset.db", 1).await?, "kubectl", 2, 4);
    shop.kubectl(&["patch", "statefulset/db", "--patch={\"spec\":{\"replicas\":9}}"]).await?;
    assert_drift(&shop.wait_for_drifts("statefulset.db", 2).await?, "kubectl-patch", 2, 9);
    Ok(())
}

#[tokio::test]
async fn counts_of_zero_are_held_and_corrected() -> Result<()> {
    let shop = Namespace::shared("zero").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 0).await?;
    shop.wait_for_replicas("deployment/web", 0).await?;
    shop.kubectl(&["patch", "deployment/web", "--patch={\"spec\":{\"replicas\":3}}"]).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 1).await?, "kubectl-patch", 0, 3);
    shop.set("web", 2).await?;
    shop.wait_for_replicas("deployment/web", 2).await?;
    shop.kubectl(&["patch", "deployment/web", "--patch={\"spec\":{\"replicas\":0}}"]).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 2).await?, "kubectl-patch", 2, 0);
    // Kubernetes records no owner for a count of 0 that is written through /scale.
    shop.kubectl(&["scale", "deployment/web", "--replicas=0"]).await?;
    assert_drift(&shop.wait_for_drifts("deployment.web", 3).await?, "unknown", 2, 0);
    Ok(())
}

#[tokio::test]
async fn a_drift_creates_an_event_for_the_target() -> Result<()> {
    let shop = Namespace::shared("event").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 2).await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 2)
        .await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    let described = wait::until("the event", PATIENCE, async || {
        let described = shop.kubectl(&["describe", "deployment/web"]).await?;
        ensure!(described.contains("ReplicasPutBack"), "{described}");
        Ok(described)
    })
    .await?;
    assert!(described.contains("kubectl changed the replica count; put back to 2"), "{described}");
    Ok(())
}

#[tokio::test]
async fn a_replica_count_that_kubectl_applies_is_enforced() -> Result<()> {
    let shop = Namespace::shared("applied").await?;
    shop.deployment("web", 2).await?;
    shop.kubectl_with(&["apply", "--filename=-"], &ReplicaCountManifest::deployment("web").replicas(4).manifest())
        .await?;
    shop.wait_for_replicas("deployment/web", 4).await?;
    shop.kubectl(&["wait", "--for=condition=Ready", "replicacount/deployment.web", "--timeout=60s"]).await?;
    // This writes to the scale subresource of the ReplicaCount itself.
    shop.kubectl(&["scale", "replicacount/deployment.web", "--replicas=5"]).await?;
    shop.wait_for_replicas("deployment/web", 5).await?;
    let changed = |count: &Value| count.pointer("/status/changes/1/to") == Some(&json!(4));
    let count = shop.wait_for_replica_count("deployment.web", "both changes", changed).await?;
    assert_eq!(count["status"]["changes"][0]["from"], 4);
    assert_eq!(count["status"]["changes"][0]["by"], "kubectl");
    assert_eq!(count["status"]["changes"][1]["by"], "kubectl-client-side-apply");
    assert_eq!(count["status"]["drifts"], 0, "a new desired count is no drift: {count}");
    Ok(())
}

#[tokio::test]
async fn a_count_above_the_maximum_is_not_enforced() -> Result<()> {
    let shop = Namespace::shared("above").await?;
    shop.deployment("web", 2).await?;
    shop.kubectl_with(&["apply", "--filename=-"], &ReplicaCountManifest::deployment("web").replicas(10_001).manifest())
        .await?;
    let refused = |count: &Value| condition(count, "Ready") == Some(("False", "AboveMaximum"));
    shop.wait_for_replica_count("deployment.web", "the refusal", refused).await?;
    assert_eq!(shop.replicas("deployment/web").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_replica_count_waits_for_its_target_and_outlives_it() -> Result<()> {
    let shop = Namespace::shared("later").await?;
    shop.kubectl_with(&["apply", "--filename=-"], &ReplicaCountManifest::deployment("web").replicas(4).manifest())
        .await?;
    let missing = |count: &Value| condition(count, "TargetFound") == Some(("False", "NotFound"));
    shop.wait_for_replica_count("deployment.web", "the missing target", missing).await?;
    shop.deployment("web", 1).await?;
    shop.wait_for_replicas("deployment/web", 4).await?;
    shop.kubectl(&["delete", "deployment/web"]).await?;
    shop.wait_for_replica_count("deployment.web", "the missing target", missing).await?;
    shop.deployment("web", 2).await?;
    shop.wait_for_replicas("deployment/web", 4).await?;
    Ok(())
}

#[tokio::test]
async fn the_server_leaves_a_target_alone_after_its_replica_count_is_deleted() -> Result<()> {
    let shop = Namespace::shared("deleted").await?;
    shop.deployment("web", 2).await?;
    shop.deployment("witness", 2).await?;
    shop.set("web", 3).await?;
    shop.set("witness", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    shop.kubectl(&["delete", "replicacount/deployment.web"]).await?;
    shop.wait_until_unmanaged("web").await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    // The later drift of the witness is corrected, so an earlier drift of `web` would have been corrected too.
    shop.kubectl(&["scale", "deployment/witness", "--replicas=7"]).await?;
    shop.wait_for_replicas("deployment/witness", 3).await?;
    assert_eq!(shop.replicas("deployment/web").await?, 7);
    Ok(())
}

#[tokio::test]
async fn an_override_is_held_until_its_end() -> Result<()> {
    let shop = Namespace::shared("override").await?;
    shop.deployment("web", 2).await?;
    shop.deployment("sale", 2).await?;
    let set = async |name: &str, then_unset: bool| {
        let until = jiff::Timestamp::now() + std::time::Duration::from_secs(8);
        let target = json!({"namespace": shop.name, "name": name});
        let request = json!({"target": target, "replicas": 9, "until": until.to_string(), "thenUnset": then_unset, "reason": "sale"});
        shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await
    };
    set("web", false).await?;
    set("sale", true).await?;
    shop.wait_for_replicas("deployment/web", 9).await?;
    shop.wait_for_replicas("deployment/sale", 9).await?;
    shop.wait_for_replicas("deployment/web", 2).await?;
    let count =
        shop.wait_for_replica_count("deployment.web", "the end", |count| count["status"]["desired"] == 2).await?;
    assert_eq!(count["spec"]["override"]["replicas"], 9, "an override that is over is left as it is: {count}");
    wait::until("the ReplicaCount of the ended override gone", PATIENCE, async || {
        let left = shop.kubectl(&["get", "replicacounts", "--output=name"]).await?;
        ensure!(!left.contains("deployment.sale"), "{left}");
        Ok(())
    })
    .await?;
    assert_eq!(shop.replicas("deployment/sale").await?, 9, "unset leaves the count as it is");
    Ok(())
}

#[tokio::test]
async fn one_drift_causes_one_correction() -> Result<()> {
    let shop = Namespace::shared("once").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
        .await?;
    let generation = async || -> Result<i64> {
        shop.get("deployment/web").await?["metadata"]["generation"].as_i64().context("no generation")
    };
    let before = generation().await?;
    for drifts in 1..=5 {
        shop.kubectl(&["scale", "deployment/web", "--replicas=4"]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
        assert_eq!(generation().await? - before, 2 * drifts, "each drift is one write by kubectl and one by us");
    }
    Ok(())
}

#[tokio::test]
async fn many_drifts_at_once_are_all_corrected() -> Result<()> {
    let shop = Namespace::shared("many").await?;
    let names = names("web", 40);
    shop.create_all(&names, |name| Workload::deployment(name).replicas(1).manifest()).await?;
    shop.create_all(&names, |name| ReplicaCountManifest::deployment(name).replicas(1).manifest()).await?;
    let all = async |what: &str, expected: i64| {
        wait::until(what, PATIENCE, async || {
            let list = shop.get("deployments").await?;
            let items = list["items"].as_array().context("no items")?;
            let there = items.iter().filter(|item| item["spec"]["replicas"] == expected).count();
            ensure!(there == names.len(), "{there} of {} are at {expected}", names.len());
            Ok(())
        })
        .await
    };
    for name in &names {
        shop.wait_for_replica_count(&format!("deployment.{name}"), "the target in place", |count| {
            count["status"]["observed"] == 1
        })
        .await?;
    }
    shop.kubectl(&["scale", "deployments", "--all", "--replicas=2"]).await?;
    all("all Deployments put back", 1).await?;
    for name in &names {
        shop.wait_for_drifts(&format!("deployment.{name}"), 1).await?;
    }
    Ok(())
}
