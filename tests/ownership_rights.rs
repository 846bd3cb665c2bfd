//! Giving ownership back with less than the chart grants: without the fence, and without the right.

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use serde_json::Value;

use support::{
    Namespace, PATIENCE, World,
    app::{owned_by, owners},
    namespace::manifest,
    release,
};

/// Creates a Deployment whose count has an applier to give back to, and manages it.
async fn applied(shop: &Namespace<'_>) -> Result<()> {
    let apply = ["apply", "--server-side", "--field-manager=gitops", "--filename=-"];
    shop.kubectl_with(&apply, &manifest("Deployment", "web", 2)).await?;
    shop.set("web", 3).await?;
    shop.reaches("deployment/web", 3).await
}

async fn log(world: &World) -> Result<String> {
    Ok(std::fs::read_to_string(world.server().await?.process.log().context("no log")?)?)
}

/// Keeps the server giving back until its log says something; it looks at the fence now and then only.
async fn says(world: &World, shop: &Namespace<'_>, words: &str, metric: &str) -> Result<()> {
    wait::until(words, PATIENCE, async || {
        shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
        shop.reaches("deployment/web", 3).await?;
        // Starts anew, so that this is no fight.
        shop.set("web", 4).await?;
        shop.set("web", 3).await?;
        let log = log(world).await?;
        ensure!(log.contains(words), "{log}");
        Ok(())
    })
    .await?;
    let metrics = world.http("/metrics").await?.1;
    ensure!(metrics.contains(metric), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_server_without_its_fence_says_so_until_it_is_back() -> Result<()> {
    let world = World::start(Options::default()).await?;
    let shop = Namespace::new(&world, "fence").await?;
    applied(&shop).await?;
    owned_by(&shop, "gitops").await?;
    assert!(!log(&world).await?.contains("not in force"));

    let binding = format!("validatingadmissionpolicybinding/{0}-{0}-fence", release::NAME);
    let saved = run(world.cluster.kubectl().args(["get", &binding, "--output=json"])).await?;
    let mut saved: Value = serde_json::from_str(&saved)?;
    for field in ["resourceVersion", "uid", "creationTimestamp", "generation"] {
        saved["metadata"].as_object_mut().context("no metadata")?.remove(field);
    }
    run(world.cluster.kubectl().args(["delete", &binding])).await?;
    says(&world, &shop, "is not in force", "replica_count_manager_fence_missing 1").await?;
    owned_by(&shop, "gitops").await?;

    shop.kubectl_with(&["create", "--filename=-"], &saved.to_string()).await?;
    says(&world, &shop, "is in force again", "replica_count_manager_fence_missing 0").await
}

#[tokio::test]
async fn a_server_that_may_not_patch_targets_keeps_the_ownership_and_says_so_once() -> Result<()> {
    let world = World::start(Options::default()).await?;
    let shop = Namespace::new(&world, "kept").await?;
    let without_patch = |role: String| {
        let right = r#"["deployments","statefulsets","replicasets"],"verbs":["get","list","watch","patch"]"#;
        role.replace(right, &right.replace(",\"patch\"", ""))
    };
    world.take_right("patch deployments.apps", without_patch).await?;
    applied(&shop).await?;
    let words = "keeping the ownership of corrected counts";
    wait::until("the server to say that it keeps it", PATIENCE, async || {
        let log = log(&world).await?;
        ensure!(log.contains(words), "{log}");
        Ok(())
    })
    .await?;
    for drifts in 1..=2 {
        shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
        shop.drifts("deployment.web", drifts).await?;
    }
    assert_eq!(owners(&shop).await?, [release::NAME]);
    assert_eq!(log(&world).await?.matches(words).count(), 1);
    Ok(())
}
