//! Helm, whose upgrades go on working on a Deployment that is held, and never change its count.

use anyhow::{Result, ensure};
use cluster::Options;

use support::{
    Namespace, World,
    app::{held, owned_by, upgrade},
};

#[tokio::test]
async fn helm_4_upgrades_other_counts_without_a_conflict_and_without_changing_ours() -> Result<()> {
    let shop = Namespace::shared("helm4").await?;
    let helm = || shop.world.cluster.helm();
    ensure!(upgrade(helm(), &shop, Some(2), "first", &[]).await?.0);
    shop.set("web", 3).await?;
    shop.reaches("deployment/web", 3).await?;
    for drifts in 1..=3 {
        owned_by(&shop, "helm").await?;
        let revision = format!("upgrade-{drifts}");
        let (done, output) = upgrade(helm(), &shop, Some(3 + drifts), &revision, &[]).await?;
        ensure!(done, "{output}");
        held(&shop, &revision, 3, drifts.into(), "helm").await?;
    }
    // A scale in between takes the count from helm, and is named for it.
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    held(&shop, "upgrade-3", 3, 4, "kubectl").await?;
    owned_by(&shop, "helm").await?;
    let (done, output) = upgrade(helm(), &shop, Some(9), "last", &[]).await?;
    ensure!(done, "{output}");
    held(&shop, "last", 3, 5, "helm").await
}

#[tokio::test]
async fn a_server_that_keeps_the_ownership_makes_helm_4_meet_a_conflict() -> Result<()> {
    let world = World::start_with(Options::default(), &["--set=ownership=keep"]).await?;
    let shop = Namespace::new(&world, "keep").await?;
    ensure!(upgrade(world.cluster.helm(), &shop, Some(2), "first", &[]).await?.0);
    shop.set("web", 3).await?;
    shop.reaches("deployment/web", 3).await?;
    let (done, output) = upgrade(world.cluster.helm(), &shop, Some(4), "refused", &[]).await?;
    ensure!(!done && output.contains("conflict with \"replica-count-manager\""), "{output}");
    ensure!(output.contains(".spec.replicas"), "{output}");
    let (done, output) = upgrade(world.cluster.helm(), &shop, Some(4), "forced", &["--force-conflicts"]).await?;
    ensure!(done, "{output}");
    held(&shop, "forced", 3, 1, "helm").await
}

#[tokio::test]
async fn a_chart_that_sets_no_count_never_resets_it() -> Result<()> {
    let shop = Namespace::shared("countless").await?;
    ensure!(upgrade(shop.world.cluster.helm(), &shop, None, "first", &[]).await?.0);
    shop.set("web", 3).await?;
    shop.reaches("deployment/web", 3).await?;
    // Nobody applies the count, so the server makes itself its owner; before that, a scale leaves no trace.
    owned_by(&shop, "replica-count-manager").await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    held(&shop, "first", 3, 1, "kubectl").await?;
    for revision in ["second", "third"] {
        let (done, output) = upgrade(shop.world.cluster.helm(), &shop, None, revision, &[]).await?;
        ensure!(done, "{output}");
        // A reset would have been a further drift.
        held(&shop, revision, 3, 1, "kubectl").await?;
    }
    let status = shop.drifts("deployment.web", 1).await?;
    ensure!(status["appliers"].is_null(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_chart_that_leaves_the_count_out_later_is_named_and_no_longer_an_applier() -> Result<()> {
    let shop = Namespace::shared("dropped").await?;
    let helm = || shop.world.cluster.helm();
    ensure!(upgrade(helm(), &shop, Some(2), "with", &[]).await?.0);
    shop.set("web", 3).await?;
    shop.reaches("deployment/web", 3).await?;
    owned_by(&shop, "helm").await?;
    let (done, output) = upgrade(helm(), &shop, None, "without", &[]).await?;
    ensure!(done, "{output}");
    held(&shop, "without", 3, 1, "helm").await?;
    owned_by(&shop, "replica-count-manager").await?;
    let (done, output) = upgrade(helm(), &shop, None, "again", &[]).await?;
    ensure!(done, "{output}");
    held(&shop, "again", 3, 1, "helm").await
}

#[tokio::test]
async fn helm_3_upgrades_are_put_back() -> Result<()> {
    let shop = Namespace::shared("helm3").await?;
    let helm = || shop.world.cluster.helm3();
    ensure!(upgrade(helm(), &shop, Some(2), "first", &[]).await?.0);
    shop.set("web", 3).await?;
    shop.reaches("deployment/web", 3).await?;
    for drifts in 1..=3 {
        let revision = format!("upgrade-{drifts}");
        let (done, output) = upgrade(helm(), &shop, Some(3 + drifts), &revision, &[]).await?;
        ensure!(done, "{output}");
        held(&shop, &revision, 3, drifts.into(), "helm").await?;
    }
    Ok(())
}
