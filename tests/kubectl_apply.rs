//! All forms of `kubectl apply`, and the GitOps tools, which apply in the same forms.

use anyhow::{Result, ensure};
use cluster::wait;

use support::{
    Namespace, PATIENCE,
    application::{Correction, count_owners, wait_for_owner},
    manifests::Workload,
};

/// Applies other counts and templates three times. Checks each time that the server corrects the count and keeps the
/// template.
async fn apply_three_times(purpose: &str, flags: &[&str], manager: &str) -> Result<()> {
    let shop = Namespace::shared(purpose).await?;
    let apply = [&["apply", "--filename=-"], flags].concat();
    shop.kubectl_with(&apply, &Workload::deployment("web").replicas(2).revision("first").manifest()).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    for drifts in 1..=3 {
        wait_until_given_back(&shop, flags).await?;
        let revision = format!("apply-{drifts}");
        shop.kubectl_with(&apply, &Workload::deployment("web").replicas(3 + drifts).revision(&revision).manifest())
            .await?;
        Correction { revision: &revision, replicas: 3, drifts: drifts.into(), manager }.wait_in(&shop).await?;
    }
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    Correction { revision: "apply-3", replicas: 3, drifts: 4, manager: "kubectl" }.wait_in(&shop).await?;
    wait_until_given_back(&shop, flags).await?;
    shop.kubectl_with(&apply, &Workload::deployment("web").replicas(9).revision("last").manifest()).await?;
    Correction { revision: "last", replicas: 3, drifts: 5, manager }.wait_in(&shop).await
}

/// Waits until the server has given the ownership back. Only server-side apply has an owner to give it to.
async fn wait_until_given_back(shop: &Namespace<'_>, flags: &[&str]) -> Result<()> {
    if !flags.contains(&"--server-side") {
        return Ok(());
    }
    wait::until("the ownership given back", PATIENCE, async || {
        let owners = count_owners(shop).await?;
        ensure!(!owners.contains(&"replica-count-manager".to_owned()), "it is with {owners:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn client_side_applies_are_corrected() -> Result<()> {
    apply_three_times("client-side", &[], "kubectl-client-side-apply").await
}

#[tokio::test]
async fn server_side_applies_meet_no_conflict() -> Result<()> {
    apply_three_times("server-side", &["--server-side"], "kubectl").await
}

#[tokio::test]
async fn forced_applies_of_flux_are_corrected() -> Result<()> {
    let flux = ["--server-side", "--force-conflicts", "--field-manager=kustomize-controller"];
    apply_three_times("flux", &flux, "kustomize-controller").await
}

#[tokio::test]
async fn forced_applies_of_argo_cd_are_corrected() -> Result<()> {
    let argo_cd = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller"];
    apply_three_times("argo-cd", &argo_cd, "argocd-controller").await
}

#[tokio::test]
async fn an_applier_of_only_the_count_meets_no_conflict() -> Result<()> {
    let shop = Namespace::shared("count-alone").await?;
    shop.kubectl_with(
        &["create", "--filename=-"],
        &Workload::deployment("web").replicas(2).revision("first").manifest(),
    )
    .await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let count = |replicas: i32| {
        format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {{replicas: {replicas}}}}}")
    };
    let scaler = ["apply", "--server-side", "--field-manager=scaler", "--filename=-"];
    let first = [&scaler[..], &["--force-conflicts"]].concat();
    shop.kubectl_with(&first, &count(5)).await?;
    Correction { revision: "first", replicas: 3, drifts: 1, manager: "scaler" }.wait_in(&shop).await?;
    for drifts in 2..=3 {
        // The correction removes the whole entry of this manager from managedFields, and giving back restores it.
        wait_for_owner(&shop, "scaler").await?;
        shop.kubectl_with(&scaler, &count(5 + drifts)).await?;
        Correction { revision: "first", replicas: 3, drifts: drifts.into(), manager: "scaler" }.wait_in(&shop).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_count_of_a_kustomization_is_corrected() -> Result<()> {
    let shop = Namespace::shared("kustomize").await?;
    let folder = shop.cluster.folder().join("kustomization");
    std::fs::create_dir_all(&folder)?;
    let apply = async |replicas: i32, revision: &str| {
        let kustomization = format!("resources: [web.yaml]\nreplicas: [{{name: web, count: {replicas}}}]\n");
        std::fs::write(folder.join("kustomization.yaml"), kustomization)?;
        std::fs::write(folder.join("web.yaml"), Workload::deployment("web").replicas(1).revision(revision).manifest())?;
        shop.kubectl(&["apply", "--kustomize", &folder.display().to_string()]).await
    };
    apply(2, "first").await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    for drifts in 1..=3 {
        let revision = format!("apply-{drifts}");
        apply(3 + drifts, &revision).await?;
        Correction { revision: &revision, replicas: 3, drifts: drifts.into(), manager: "kubectl-client-side-apply" }
            .wait_in(&shop)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_status_names_the_actor_of_a_scale_after_a_count_of_zero() -> Result<()> {
    let shop = Namespace::shared("after-zero").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
        .await?;
    // Kubernetes records no owner of a count of 0 that is written through /scale, nor of the next write there.
    shop.kubectl(&["scale", "deployment/web", "--replicas=0"]).await?;
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    ensure!(status["lastDrift"]["manager"] == "unknown", "{status}");
    wait_for_owner(&shop, "replica-count-manager").await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    let status = shop.wait_for_drifts("deployment.web", 2).await?;
    ensure!(status["lastDrift"]["manager"] == "kubectl", "{status}");
    Ok(())
}

#[tokio::test]
async fn two_appliers_of_one_count_meet_no_conflict() -> Result<()> {
    let shop = Namespace::shared("two-appliers").await?;
    let apply = async |manager: &str| {
        let manager = format!("--field-manager={manager}");
        let apply = ["apply", "--server-side", &manager, "--filename=-"];
        shop.kubectl_with(&apply, &Workload::deployment("web").replicas(2).manifest()).await
    };
    for manager in ["ci", "argocd-controller", "ci"] {
        apply(manager).await?;
    }
    shop.set("web", 4).await?;
    shop.wait_for_replicas("deployment/web", 4).await?;
    let all_are_free = || wait_until_given_back(&shop, &["--server-side"]);
    for (drifts, manager) in (1..).zip(["ci", "argocd-controller", "argocd-controller", "ci"]) {
        all_are_free().await?;
        apply(manager).await?;
        let status = shop.wait_for_drifts("deployment.web", drifts).await?;
        ensure!(status["lastDrift"]["manager"] == manager, "{status}");
        ensure!(status["appliers"].as_array().is_some_and(|all| all.len() == 2), "{status}");
    }
    Ok(())
}
