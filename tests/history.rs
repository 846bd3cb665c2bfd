//! The history of a ReplicaCount: who changed which field, when and why.

use anyhow::{Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, manifests::Workload, outcome};

/// A change in short: number, field, from, to, author, reason.
fn short(change: &Value) -> Value {
    json!([change["number"], change["field"], change["from"], change["to"], change["by"], change["reason"]])
}

/// Waits until the latest change is this one.
async fn wait_for_change(shop: &Namespace<'_>, expected: Value) -> Result<()> {
    let is = |count: &Value| short(&count["status"]["changes"][0]) == expected;
    shop.wait_for_replica_count("deployment.web", &format!("the change {expected}"), is).await.map(drop)
}

/// Applies the ReplicaCount as Argo CD does.
async fn sync(shop: &Namespace<'_>, replicas: i32, reason: &str) -> Result<()> {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let count = json!({
        "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount", "metadata": {"name": "deployment.web"},
        "spec": {"scaleTargetRef": target, "replicas": replicas, "reason": reason},
    });
    let apply = ["apply", "--server-side", "--field-manager=argocd-controller", "--filename=-"];
    shop.kubectl_with(&apply, &count.to_string()).await.map(drop)
}

/// Sets an override of 9 as the user `admin`.
async fn set_override(shop: &Namespace<'_>, reason: &str, seconds: u64) -> Result<()> {
    let until = jiff::Timestamp::now() + std::time::Duration::from_secs(seconds);
    let target = json!({"namespace": shop.name, "name": "web"});
    let request = json!({"target": target, "replicas": 9, "until": until.to_string(), "reason": reason, "force": true});
    shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await?;
    Ok(())
}

async fn patch(shop: &Namespace<'_>, spec: Value) -> Result<()> {
    let patch = json!({"spec": spec}).to_string();
    shop.kubectl(&["patch", "replicacount/deployment.web", "--type=merge", "--patch", &patch]).await.map(drop)
}

#[tokio::test]
async fn each_change_of_a_field_names_who_wrote_that_field() -> Result<()> {
    let shop = Namespace::shared("fields").await?;
    shop.create(&Workload::deployment("web").replicas(2).without_pods()).await?;
    sync(&shop, 3, "from git").await?;
    wait_for_change(&shop, json!([1, "replicas", null, 3, "argocd-controller", "from git"])).await?;
    // Argo CD keeps the lasting count, and a person sets an override.
    set_override(&shop, "sale", 3600).await?;
    wait_for_change(&shop, json!([2, "override", 3, 9, "admin", "sale"])).await?;
    sync(&shop, 4, "from git").await?;
    wait_for_change(&shop, json!([3, "replicas", 3, 4, "argocd-controller", "from git"])).await?;
    patch(&shop, json!({"override": {"reason": "a longer sale"}})).await?;
    wait_for_change(&shop, json!([4, "reason", 9, 9, "kubectl-patch", "a longer sale"])).await?;
    set_override(&shop, "a longer sale", 7200).await?;
    wait_for_change(&shop, json!([5, "override", 9, 9, "admin", "a longer sale"])).await?;
    shop.kubectl(&["scale", "replicacount/deployment.web", "--replicas=5"]).await?;
    wait_for_change(&shop, json!([6, "replicas", 4, 5, "kubectl", "from git"])).await?;
    // A removed field has no owner.
    patch(&shop, json!({"override": null})).await?;
    wait_for_change(&shop, json!([7, "override", 9, 5, "unknown", "the override was cleared"])).await?;
    let forced = ["set", "web", "6", "--force", "--reason", "enough", "--namespace", &shop.name];
    let set = outcome(shop.cluster.plugin().args(forced)).await?;
    ensure!(set.code == Some(0), "{set:?}");
    wait_for_change(&shop, json!([8, "replicas", 5, 6, "admin", "enough"])).await?;
    // The same count again keeps its reason, and is no change.
    let again = ["set", "web", "6", "--force", "--namespace", &shop.name];
    ensure!(outcome(shop.cluster.plugin().args(again)).await?.code == Some(0));
    let count = shop.get("replicacount/deployment.web").await?;
    assert_eq!(count["spec"]["reason"], "enough", "{count}");
    let times: Vec<_> = count["status"]["changes"].as_array().into_iter().flatten().map(|one| &one["at"]).collect();
    ensure!(times.len() == 8 && times.is_sorted_by(|a, b| a.as_str() > b.as_str()), "{times:?}");
    Ok(())
}

#[tokio::test]
async fn an_end_with_a_fraction_of_a_second_is_stored_as_it_was_written() -> Result<()> {
    let shop = Namespace::shared("fractions").await?;
    let end = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3600)?.to_string();
    let seconds = end.trim_end_matches('Z');
    for (name, fraction, stored) in
        [("web", ".500Z", ".5Z"), ("api", ".123456789Z", ".123456789Z"), ("db", ".1234567891234Z", ".123456789Z")]
    {
        shop.create(&Workload::deployment(name).replicas(3).without_pods()).await?;
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
        let over = json!({"replicas": 5, "until": format!("{seconds}{fraction}")});
        let count = json!({
            "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
            "metadata": {"name": format!("deployment.{name}")},
            "spec": {"scaleTargetRef": target, "replicas": 3, "override": over},
        });
        shop.kubectl_with(&["create", "--filename=-"], &count.to_string()).await?;
        shop.wait_for_replicas(&format!("deployment/{name}"), 5).await?;
        let count_name = format!("deployment.{name}");
        let is_seen = |count: &Value| count["status"]["observed"] == 5;
        let before = shop.wait_for_replica_count(&count_name, "the override in place", is_seen).await?;
        shop.kubectl(&["scale", &format!("deployment/{name}"), "--replicas=7"]).await?;
        let status = shop.wait_for_drifts(&count_name, 1).await?;
        let until = &status["observedSpec"]["override"]["until"];
        assert_eq!(until.as_str(), Some(&*format!("{seconds}{stored}")), "{name}: {status}");
        assert_eq!(status["changes"], before["status"]["changes"], "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn get_shows_each_drift_with_its_number() -> Result<()> {
    let shop = Namespace::shared("drifts").await?;
    shop.create(&Workload::deployment("web").replicas(2).without_pods()).await?;
    shop.set("web", 3).await?;
    for (drifts, manager) in (1..).zip(["red", "green", "blue"]) {
        shop.wait_for_replicas("deployment/web", 3).await?;
        let manager = format!("--field-manager={manager}");
        shop.kubectl(&["patch", "deployment/web", &manager, "--patch={\"spec\":{\"replicas\":7}}"]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    let get = ["get", "web", "--output=json", "--namespace", &shop.name];
    let shown = wait::until("three drifts", PATIENCE, async || {
        let shown: Value = serde_json::from_str(&outcome(shop.cluster.plugin().args(get)).await?.stdout)?;
        ensure!(shown["recentDrifts"].as_array().is_some_and(|all| all.len() == 3), "{shown}");
        Ok(shown)
    })
    .await?;
    let short = |drift: &Value| json!([drift["number"], drift["manager"], drift["from"], drift["to"]]);
    let drifts: Vec<_> = shown["recentDrifts"].as_array().into_iter().flatten().map(short).collect();
    assert_eq!(drifts, [json!([3, "blue", 3, 7]), json!([2, "green", 3, 7]), json!([1, "red", 3, 7])]);
    ensure!(shown["recentDrifts"].as_array().into_iter().flatten().all(|drift| drift["correctedAt"].is_string()));
    Ok(())
}
