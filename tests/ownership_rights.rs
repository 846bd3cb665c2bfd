//! Giving ownership back with fewer rights than the chart grants: without the fence, and without the right to patch
//! targets.

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use serde_json::Value;

use support::{
    Namespace, PATIENCE, TestCluster,
    application::{count_owners, wait_for_owner},
    manifests::Workload,
    release,
};

/// Creates a managed Deployment whose count has an applier.
async fn create_applied(shop: &Namespace<'_>) -> Result<()> {
    let apply = ["apply", "--server-side", "--field-manager=gitops", "--filename=-"];
    shop.kubectl_with(&apply, &Workload::deployment("web").replicas(2).manifest()).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await
}

async fn log(cluster: &TestCluster) -> Result<String> {
    Ok(std::fs::read_to_string(cluster.server().await?.process.log().context("no log")?)?)
}

/// Makes the server give ownership back until its log contains these words. The server probes the fence only now and
/// then.
async fn wait_for_log(cluster: &TestCluster, shop: &Namespace<'_>, words: &str, metric: &str) -> Result<()> {
    wait::until(words, PATIENCE, async || {
        shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
        shop.wait_for_replicas("deployment/web", 3).await?;
        // A Set starts a new history, so that the target does not become contested.
        shop.set("web", 4).await?;
        shop.set("web", 3).await?;
        let log = log(cluster).await?;
        ensure!(log.contains(words), "{log}");
        Ok(())
    })
    .await?;
    let metrics = cluster.http("/metrics").await?.1;
    ensure!(metrics.contains(metric), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn the_server_reports_a_missing_fence_until_it_is_restored() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "fence").await?;
    create_applied(&shop).await?;
    wait_for_owner(&shop, "gitops").await?;
    assert!(!log(&cluster).await?.contains("not in force"));

    let binding = format!("validatingadmissionpolicybinding/{0}-{0}-fence", release::NAME);
    let saved = run(cluster.kubectl().args(["get", &binding, "--output=json"])).await?;
    let mut saved: Value = serde_json::from_str(&saved)?;
    for field in ["resourceVersion", "uid", "creationTimestamp", "generation"] {
        saved["metadata"].as_object_mut().context("no metadata")?.remove(field);
    }
    run(cluster.kubectl().args(["delete", &binding])).await?;
    wait_for_log(&cluster, &shop, "is not in force", "replica_count_manager_fence_missing 1").await?;
    wait_for_owner(&shop, "gitops").await?;

    shop.kubectl_with(&["create", "--filename=-"], &saved.to_string()).await?;
    wait_for_log(&cluster, &shop, "is in force again", "replica_count_manager_fence_missing 0").await
}

#[tokio::test]
async fn a_server_without_the_right_to_patch_keeps_the_ownership_and_logs_it_once() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "kept").await?;
    let without_patch = |role: String| {
        let right = r#"["deployments","statefulsets","replicasets"],"verbs":["get","list","watch","patch"]"#;
        role.replace(right, &right.replace(",\"patch\"", ""))
    };
    cluster.remove_right("patch deployments.apps", without_patch).await?;
    create_applied(&shop).await?;
    let words = "keeping the ownership of corrected counts";
    wait::until("the server to say that it keeps it", PATIENCE, async || {
        let log = log(&cluster).await?;
        ensure!(log.contains(words), "{log}");
        Ok(())
    })
    .await?;
    for drifts in 1..=2 {
        shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    assert_eq!(count_owners(&shop).await?, [release::NAME]);
    assert_eq!(log(&cluster).await?.matches(words).count(), 1);
    Ok(())
}
