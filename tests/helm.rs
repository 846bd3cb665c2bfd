//! Upgrades by Helm of a managed Deployment. They succeed, and do not change its count.

use anyhow::{Result, ensure};
use cluster::Options;

use support::{
    Namespace, TestCluster,
    application::{Correction, HelmUpgrade, count_owners, wait_for_owner},
    outcome,
};

#[tokio::test]
async fn helm_4_upgrades_meet_no_conflict_and_their_counts_are_corrected() -> Result<()> {
    let shop = Namespace::shared("helm4").await?;
    let helm = || shop.cluster.helm();
    HelmUpgrade::to(helm(), "first").replicas(2).run(&shop).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    for drifts in 1..=3 {
        wait_for_owner(&shop, "helm").await?;
        let revision = format!("upgrade-{drifts}");
        HelmUpgrade::to(helm(), &revision).replicas(3 + drifts).run(&shop).await?;
        Correction { revision: &revision, replicas: 3, drifts: drifts.into(), manager: "helm" }.wait_in(&shop).await?;
    }
    // A scale takes the ownership from Helm. The status names kubectl as its actor.
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    Correction { revision: "upgrade-3", replicas: 3, drifts: 4, manager: "kubectl" }.wait_in(&shop).await?;
    wait_for_owner(&shop, "helm").await?;
    HelmUpgrade::to(helm(), "last").replicas(9).run(&shop).await?;
    Correction { revision: "last", replicas: 3, drifts: 5, manager: "helm" }.wait_in(&shop).await
}

#[tokio::test]
async fn helm_4_upgrades_meet_no_conflict_after_the_management_has_ended() -> Result<()> {
    let shop = Namespace::shared("helm4-end").await?;
    let helm = || shop.cluster.helm();
    HelmUpgrade::to(helm(), "first").replicas(2).run(&shop).await?;
    for (revision, replicas, line) in [("restored", 4, "unset web --restore"), ("left", 6, "unset web")] {
        shop.set("web", 3).await?;
        shop.wait_for_replicas("deployment/web", 3).await?;
        let mut plugin = shop.cluster.plugin();
        let unset = outcome(plugin.args(line.split(' ')).args(["--namespace", &shop.name])).await?;
        ensure!(unset.code == Some(0), "{line}: {unset:?}");
        if revision == "restored" {
            assert_eq!(count_owners(&shop).await?, ["helm"], "a restore gives the count back before it ends");
        }
        wait_for_owner(&shop, "helm").await?;
        HelmUpgrade::to(helm(), revision).replicas(replicas).run(&shop).await?;
        assert_eq!(shop.replicas("deployment/web").await?, i64::from(replicas), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn helm_4_meets_a_conflict_if_the_server_keeps_the_ownership() -> Result<()> {
    let cluster = TestCluster::start_with(Options::default(), &["--set=ownership=keep"]).await?;
    let shop = Namespace::new(&cluster, "keep").await?;
    HelmUpgrade::to(cluster.helm(), "first").replicas(2).run(&shop).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let (done, output) = HelmUpgrade::to(cluster.helm(), "refused").replicas(4).attempt(&shop).await?;
    ensure!(!done && output.contains("conflict with \"replica-count-manager\""), "{output}");
    ensure!(output.contains(".spec.replicas"), "{output}");
    HelmUpgrade::to(cluster.helm(), "forced").replicas(4).flag("--force-conflicts").run(&shop).await?;
    Correction { revision: "forced", replicas: 3, drifts: 1, manager: "helm" }.wait_in(&shop).await
}

#[tokio::test]
async fn a_chart_without_a_count_never_resets_the_count() -> Result<()> {
    let shop = Namespace::shared("countless").await?;
    HelmUpgrade::to(shop.cluster.helm(), "first").run(&shop).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    // No applier owns the count, so the server makes itself the owner. Before that, managedFields would not show the
    // actor of a scale.
    wait_for_owner(&shop, "replica-count-manager").await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    Correction { revision: "first", replicas: 3, drifts: 1, manager: "kubectl" }.wait_in(&shop).await?;
    for revision in ["second", "third"] {
        HelmUpgrade::to(shop.cluster.helm(), revision).run(&shop).await?;
        // A reset would be another drift.
        Correction { revision, replicas: 3, drifts: 1, manager: "kubectl" }.wait_in(&shop).await?;
    }
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    ensure!(status["appliers"].is_null(), "{status}");
    Ok(())
}

#[tokio::test]
async fn helm_stops_being_an_applier_when_its_chart_drops_the_count() -> Result<()> {
    let shop = Namespace::shared("dropped").await?;
    let helm = || shop.cluster.helm();
    HelmUpgrade::to(helm(), "with").replicas(2).run(&shop).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    wait_for_owner(&shop, "helm").await?;
    HelmUpgrade::to(helm(), "without").run(&shop).await?;
    Correction { revision: "without", replicas: 3, drifts: 1, manager: "helm" }.wait_in(&shop).await?;
    wait_for_owner(&shop, "replica-count-manager").await?;
    HelmUpgrade::to(helm(), "again").run(&shop).await?;
    Correction { revision: "again", replicas: 3, drifts: 1, manager: "helm" }.wait_in(&shop).await
}

#[tokio::test]
async fn counts_of_helm_3_upgrades_are_corrected() -> Result<()> {
    let shop = Namespace::shared("helm3").await?;
    let helm = || shop.cluster.helm3();
    HelmUpgrade::to(helm(), "first").replicas(2).run(&shop).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    for drifts in 1..=3 {
        let revision = format!("upgrade-{drifts}");
        HelmUpgrade::to(helm(), &revision).replicas(3 + drifts).run(&shop).await?;
        Correction { revision: &revision, replicas: 3, drifts: drifts.into(), manager: "helm" }.wait_in(&shop).await?;
    }
    Ok(())
}
