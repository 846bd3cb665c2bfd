//! How the server makes requests to the API server: it waits for a Retry-After, and lists in pages where lists are not
//! streamed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Component, Options, run, wait};
use serde_json::json;
use tokio::time::Instant;

use support::{HangingWebhook, Namespace, PATIENCE, TestCluster, release};

/// Configures API Priority and Fairness: the API server executes one correction in these namespaces at a time and
/// rejects all others, as it does when it is overloaded. Returns the objects to delete.
async fn serve_one_at_a_time(namespaces: [&Namespace<'_>; 2]) -> Result<[String; 2]> {
    let [name, other] = namespaces.map(|namespace| &namespace.name);
    let account = json!({"name": release::NAME, "namespace": release::NAME});
    let corrections = json!({"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"],
                             "namespaces": [name, other]});
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
         "metadata": {"name": name},
         // The first request is executed even with 0 shares.
         "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0,
                                                 "limitResponse": {"type": "Reject"}}}},
        {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
         "spec": {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": name},
                  "rules": [{"subjects": [{"kind": "ServiceAccount", "serviceAccount": account}],
                             "resourceRules": [corrections]}]}},
    ]});
    namespaces[0].kubectl_with(&["create", "--filename=-"], &objects.to_string()).await?;
    Ok(["flowschema", "prioritylevelconfiguration"].map(|kind| format!("{kind}/{name}")))
}

/// Waits until a metric of the flow schema is at least `goal`.
async fn wait_for_flow_metric(shop: &Namespace<'_>, metric: &str, goal: u64) -> Result<()> {
    let (metric, label) = (format!("apiserver_flowcontrol_{metric}{{"), format!("flow_schema=\"{}\"", shop.name));
    wait::until(&format!("{goal} of {metric}"), PATIENCE, async || {
        let metrics = run(shop.cluster.kubectl().args(["get", "--raw=/metrics"])).await?;
        let line = metrics.lines().find(|line| line.starts_with(&metric) && line.contains(&label));
        let count: u64 = line.and_then(|line| line.rsplit(' ').next()).context("there is none")?.parse()?;
        ensure!(count >= goal, "it is {count}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_server_waits_for_the_retry_after_of_an_overloaded_api_server() -> Result<()> {
    let shop = Namespace::shared("busy").await?;
    let [hung, well] = [Namespace::shared("hung").await?, Namespace::shared("quiet").await?];
    for namespace in [&shop, &hung, &well] {
        namespace.deployment("web", 3).await?;
        namespace.set("web", 3).await?;
        namespace
            .wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
            .await?;
    }
    let webhook = HangingWebhook::start(&hung, "web").await?;
    let objects = serve_one_at_a_time([&shop, &hung]).await?;
    // The correction in this namespace hangs, and occupies the one seat.
    hung.kubectl(&["patch", "deployment/web", r#"--patch={"spec": {"replicas": 7}}"#]).await?;
    wait_for_flow_metric(&shop, "current_executing_requests", 1).await?;

    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    wait_for_flow_metric(&shop, "rejected_requests_total", 1).await?;
    let first = Instant::now();
    well.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    well.wait_for_drifts("deployment.web", 1).await?;
    // The Retry-After is a second or more. With only the server's own pauses, this number of retries would take half a
    // second.
    wait_for_flow_metric(&shop, "rejected_requests_total", 5).await?;
    ensure!(first.elapsed() > Duration::from_secs(2), "it took {:?}", first.elapsed());

    webhook.end(&hung).await?;
    shop.kubectl(&["delete", &objects[0], &objects[1]]).await?;
    for namespace in [&shop, &hung] {
        namespace.wait_for_drifts("deployment.web", 1).await?;
        namespace.wait_for_replicas("deployment/web", 3).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_server_lists_in_pages_if_the_api_server_streams_no_lists() -> Result<()> {
    let flags = vec![(Component::ApiServer, "--feature-gates=WatchList=false".to_owned())];
    let cluster = TestCluster::start(Options { flags, ..Options::default() }).await?;
    let shop = Namespace::new(&cluster, "pages").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await.map(drop)
}
