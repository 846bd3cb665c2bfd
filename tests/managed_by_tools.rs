//! ReplicaCounts that another tool manages. The server refuses to change them without force.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use support::{Namespace, Refusal, manifests::ReplicaCountManifest};

async fn call(shop: &Namespace<'_>, method: &str, request: &Value, force: bool) -> Result<Value, Refusal> {
    let mut request = request.clone();
    request["target"] = json!({"namespace": shop.name, "name": "web"});
    request["force"] = force.into();
    shop.cluster.grpcurl(&format!("replicas.v1.ReplicasService/{method}"), &request).await
}

/// Checks that Set and Unset are refused with the manager's name, and that both succeed with force.
async fn assert_managed_by(shop: &Namespace<'_>, owner: &str) -> Result<()> {
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
        .await?;
    let (set, unset) = (json!({"replicas": 5}), json!({}));
    for (method, request) in [("SetReplicaCount", &set), ("UnsetReplicaCount", &unset)] {
        let refusal = call(shop, method, request, false).await.err().context("should be refused")?;
        assert_eq!(refusal.code, "FailedPrecondition", "{refusal}");
        let message = format!("ReplicaCount deployment.web belongs to {owner}: change it there, or force");
        assert!(refusal.message.starts_with(&message), "{refusal}");
        assert!(refusal.output.contains("OWNED_BY_OTHER"), "{refusal}");
    }
    call(shop, "SetReplicaCount", &set, true).await?;
    shop.wait_for_replicas("deployment/web", 5).await?;
    call(shop, "UnsetReplicaCount", &unset, true).await?;
    Ok(())
}

#[tokio::test]
async fn a_replica_count_that_argo_cd_applies_is_managed_by_argo_cd() -> Result<()> {
    let shop = Namespace::shared("argo-cd-count").await?;
    shop.deployment("web", 2).await?;
    let apply = ["apply", "--server-side", "--field-manager=argocd-controller", "--filename=-"];
    shop.kubectl_with(&apply, &ReplicaCountManifest::deployment("web").replicas(3).manifest()).await?;
    assert_managed_by(&shop, "argocd-controller, by server-side apply").await
}

#[tokio::test]
async fn a_replica_count_in_a_helm_chart_is_managed_by_the_release() -> Result<()> {
    let shop = Namespace::shared("helm-count").await?;
    shop.deployment("web", 2).await?;
    let chart = shop.cluster.folder().join("count-chart");
    std::fs::create_dir_all(chart.join("templates"))?;
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: counts\nversion: 0.1.0\n")?;
    std::fs::write(chart.join("templates/count.yaml"), ReplicaCountManifest::deployment("web").replicas(3).manifest())?;
    let mut helm = shop.cluster.helm();
    helm.args(["install", "counts"]).arg(&chart).args(["--namespace", &shop.name, "--wait", "--timeout=1m"]);
    cluster::run(&mut helm).await?;
    assert_managed_by(&shop, &format!("the Helm release {}/counts", shop.name)).await
}

#[tokio::test]
async fn a_replica_count_that_kubectl_applies_can_be_set() -> Result<()> {
    let shop = Namespace::shared("kubectl-count").await?;
    shop.deployment("web", 2).await?;
    shop.kubectl_with(
        &["apply", "--server-side", "--filename=-"],
        &ReplicaCountManifest::deployment("web").replicas(3).manifest(),
    )
    .await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
        .await?;
    call(&shop, "SetReplicaCount", &json!({"replicas": 5}), false).await?;
    shop.wait_for_replicas("deployment/web", 5).await
}
