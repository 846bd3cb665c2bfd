//! `unset --restore` of a count that somebody else has written: it takes the checks of Set, and changes nothing if it is
//! refused.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, Refusal, namespace::ExpectedEvent, outcome};

/// A count far above the chart's maxReplicas.
const HUGE: i64 = 2_000_000_000;

async fn unset(shop: &Namespace<'_>, force: bool) -> Result<Value, Refusal> {
    let target = json!({"namespace": shop.name, "name": "web"});
    let request = json!({"target": target, "restore": true, "force": force});
    shop.cluster.grpcurl("replicas.v1.ReplicasService/UnsetReplicaCount", &request).await
}

/// Checks that the ReplicaCount still holds 3, and that the Deployment has 3.
async fn ensure_unchanged(shop: &Namespace<'_>) -> Result<()> {
    let count = shop.get("replicacount/deployment.web").await?;
    ensure!(count["spec"]["replicas"] == 3, "{count}");
    assert_eq!(shop.replicas("deployment/web").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_restored_count_takes_the_checks_of_a_set() -> Result<()> {
    let shop = Namespace::shared("restored").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;

    // An editor of ReplicaCounts may write any number here.
    let patch = json!({"spec": {"originalReplicas": HUGE}}).to_string();
    let patch_count = ["patch", "replicacount/deployment.web", "--type=merge", "--patch"];
    shop.kubectl(&[&patch_count[..], &[patch.as_str()]].concat()).await?;
    let problem = format!("spec.originalReplicas must be at most 10000, the server's MAX_REPLICAS, and is {HUGE}");
    for force in [false, true] {
        let refusal = wait::until("the refusal", PATIENCE, async || {
            let refusal = unset(&shop, force).await.err().context("it was accepted")?;
            ensure!(refusal.message == problem, "{refusal}");
            Ok(refusal)
        })
        .await?;
        assert_eq!(refusal.code, "InvalidArgument", "force: {force}: {refusal}");
        ensure_unchanged(&shop).await?;
    }
    let mut plugin = shop.cluster.plugin();
    let said = outcome(plugin.args(["unset", "web", "--restore", "--namespace", &shop.name])).await?;
    ensure!(said.code == Some(1) && said.stderr.contains(&problem), "{said:?}");
    ensure_unchanged(&shop).await?;

    let patch = json!({"spec": {"originalReplicas": 2}}).to_string();
    shop.kubectl(&[&patch_count[..], &[patch.as_str()]].concat()).await?;
    // The autoscaler is never active: its metric does not exist.
    let autoscaler = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web-cpu}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 3
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
";
    shop.kubectl_with(&["create", "--filename=-"], autoscaler).await?;
    shop.wait_for_replica_count("deployment.web", "Contested", |count| {
        support::condition(count, "Contested") == Some(("True", "Autoscaled"))
    })
    .await?;
    let refusal = unset(&shop, false).await.err().context("it was accepted beside an autoscaler")?;
    assert_eq!(refusal.code, "FailedPrecondition", "{refusal}");
    ensure!(refusal.message.starts_with("HorizontalPodAutoscaler web-cpu scales deployment.apps/web"), "{refusal}");
    ensure_unchanged(&shop).await?;
    let done = unset(&shop, true).await?;
    assert_eq!(done["restored"], 2, "{done}");
    shop.wait_until_unmanaged("web").await
}

#[tokio::test]
async fn a_restore_says_what_became_of_the_count() -> Result<()> {
    let shop = Namespace::shared("gone").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    shop.kubectl(&["delete", "deployment/web"]).await?;
    let mut plugin = shop.cluster.plugin();
    let said = outcome(plugin.args(["unset", "web", "--restore", "--namespace", &shop.name])).await?;
    ensure!(said.code == Some(0) && !said.stdout.contains("put back"), "{said:?}");
    ensure!(said.stderr.contains("there is no such target, so no count was put back"), "{said:?}");
    let left = shop.kubectl(&["get", "replicacounts", "--output=name"]).await?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

#[tokio::test]
async fn a_restore_is_done_though_a_finalizer_keeps_the_object() -> Result<()> {
    let shop = Namespace::shared("finalizers").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let patch = async |finalizers: Value| {
        let body = json!({"metadata": {"finalizers": finalizers}}).to_string();
        shop.kubectl(&["patch", "replicacount/deployment.web", "--type=merge", "--patch", &body]).await
    };
    patch(json!(["example.com/wait"])).await?;
    let done = unset(&shop, false).await?;
    ensure!(done["restored"] == 2 && shop.replicas("deployment/web").await? == 2, "{done}");
    ensure!(done["warnings"].to_string().contains("it waits for its finalizers example.com/wait"), "{done}");
    patch(Value::Null).await?;
    let (namespace, kind, reason) = (&*shop.name, "Deployment", "Unmanaged");
    let note = "the replica count is no longer held at 3 (set by admin): put back to 2 for admin";
    ExpectedEvent { namespace, kind, reason, note }.wait(shop.cluster).await
}

#[tokio::test]
async fn the_end_of_the_management_is_an_event_of_the_target() -> Result<()> {
    let shop = Namespace::shared("unmanaged").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let done = unset(&shop, false).await?;
    ensure!(
        done["restored"] == 2 && done.get("warnings").is_none_or(|all| all.as_array().is_none_or(Vec::is_empty)),
        "{done}"
    );
    ensure!(shop.replicas("deployment/web").await? == 2);
    let (namespace, kind, reason) = (&*shop.name, "Deployment", "Unmanaged");
    let note = "the replica count is no longer held at 3 (set by admin): put back to 2 for admin";
    ExpectedEvent { namespace, kind, reason, note }.wait(shop.cluster).await?;
    shop.set("web", 4).await?;
    shop.wait_for_replicas("deployment/web", 4).await?;
    shop.kubectl(&["delete", "replicacount/deployment.web"]).await?;
    let note = "the replica count is no longer held at 4 (set by admin): left at 4";
    ExpectedEvent { namespace, kind, reason, note }.wait(shop.cluster).await
}
