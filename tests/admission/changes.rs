//! Changes of ReplicaCounts that do not come through the server: the history names the person who made them, and believes
//! no annotation.

use anyhow::{Result, ensure};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use replica_count_manager::resources::ReplicaCount;
use serde_json::{Value, json};

use super::recording_cluster;
use support::{Namespace, admission, callers};

const NAME: &str = "deployment.web";

fn counts(client: Client, shop: &Namespace<'_>) -> Api<ReplicaCount> {
    Api::namespaced(client, &shop.name)
}

/// Waits for the change to a count, and checks that a user made it. A review that came too late gives no name.
async fn check_change(shop: &Namespace<'_>, to: i32, user: &str, let_through: u64) -> Result<()> {
    let is_listed = |count: &Value| count["status"]["changes"][0]["to"] == to;
    let count = shop.wait_for_replica_count(NAME, "the change", is_listed).await?;
    let by = &count["status"]["changes"][0]["by"];
    let is_late = admission::fail_opens(shop.cluster).await? > let_through;
    ensure!(by == user || is_late, "{user} has set {to}, and the status says {by}: {count}");
    Ok(())
}

#[tokio::test]
async fn the_history_names_who_applied_patched_or_scaled_a_replica_count() -> Result<()> {
    let cluster = recording_cluster().await?;
    let shop = Namespace::new(&cluster, "changes").await?;
    shop.deployment("web", 1).await?;
    let let_through = admission::fail_opens(shop.cluster).await?;

    let erin = counts(callers::editor(shop.cluster, "erin").await?, &shop);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let applied = json!({"apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount", "metadata": {"name": NAME},
                         "spec": {"scaleTargetRef": target, "replicas": 3}});
    erin.patch(NAME, &PatchParams::apply("gitops"), &Patch::Apply(applied)).await?;
    check_change(&shop, 3, "erin", let_through).await?;

    let frank = counts(callers::editor(shop.cluster, "frank").await?, &shop);
    let scaled = Patch::Merge(json!({"spec": {"replicas": 4}}));
    frank.patch_scale(NAME, &PatchParams::apply("console"), &scaled).await?;
    check_change(&shop, 4, "frank", let_through).await?;

    let mallory = counts(callers::editor(shop.cluster, "mallory").await?, &shop);
    let forged = Patch::Merge(json!({"metadata": {"annotations": {"replica-count-manager.io/set-by": "erin"}},
                                     "spec": {"replicas": 5}}));
    mallory.patch(NAME, &PatchParams::apply("replica-count-manager"), &forged).await?;
    check_change(&shop, 5, "mallory", let_through).await
}
