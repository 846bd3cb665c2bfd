//! The pace of the API server, which is the server's own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Component, Options, run, wait};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Namespace, PATIENCE, World, release};

/// Makes the API server refuse all corrections in a namespace for now, as it does when it is overloaded (API Priority
/// and Fairness): a priority level without a seat, and what goes there. Returns the names to delete.
async fn refuse_corrections(shop: &Namespace<'_>) -> Result<[String; 2]> {
    let name = &shop.name;
    let account = json!({"name": release::NAME, "namespace": release::NAME});
    let corrections = json!({"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"],
                             "namespaces": [name]});
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
         "metadata": {"name": name},
         "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0,
                                                 "limitResponse": {"type": "Reject"}}}},
        {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
         "spec": {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": name},
                  "rules": [{"subjects": [{"kind": "ServiceAccount", "serviceAccount": account}],
                             "resourceRules": [corrections]}]}},
    ]});
    shop.kubectl_with(&["create", "--filename=-"], &objects.to_string()).await?;
    Ok(["flowschema", "prioritylevelconfiguration"].map(|kind| format!("{kind}/{name}")))
}

/// Waits until the API server has refused so many corrections in a namespace.
async fn refused(shop: &Namespace<'_>, goal: u64) -> Result<()> {
    let label = format!("flow_schema=\"{}\"", shop.name);
    wait::until(&format!("{goal} refused corrections"), PATIENCE, async || {
        let metrics = run(shop.world.cluster.kubectl().args(["get", "--raw=/metrics"])).await?;
        let mut lines =
            metrics.lines().filter(|line| line.starts_with("apiserver_flowcontrol_rejected_requests_total"));
        let line = lines.find(|line| line.contains(&label)).context("none was refused")?;
        let count: u64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        ensure!(count >= goal, "{count} were refused");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_api_server_that_refuses_for_now_is_asked_again_when_it_says_so() -> Result<()> {
    let shop = Namespace::shared("busy").await?;
    let well = Namespace::shared("quiet").await?;
    for namespace in [&shop, &well] {
        namespace.deployment("web", 3).await?;
        namespace.set("web", 3).await?;
    }
    let refusing = refuse_corrections(&shop).await?;
    wait::until("corrections refused", PATIENCE, async || {
        let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
        let patch = ["patch", "deployment/web", "--subresource=scale", "--patch={}", "--dry-run=server", &account];
        let answer = shop.kubectl(&patch).await;
        ensure!(answer.is_err_and(|error| error.to_string().contains("too many requests")), "they are not");
        Ok(())
    })
    .await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    refused(&shop, 1).await?;
    let first = Instant::now();
    well.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    well.drifts("deployment.web", 1).await?;
    // Its Retry-After is a second and more. By our own pauses alone, so many would take half a second.
    refused(&shop, 5).await?;
    ensure!(first.elapsed() > Duration::from_secs(2), "it took {:?}", first.elapsed());

    shop.kubectl(&["delete", &refusing[0], &refusing[1]]).await?;
    shop.drifts("deployment.web", 1).await?;
    shop.reaches("deployment/web", 3).await
}

#[tokio::test]
async fn an_api_server_that_streams_no_lists_is_read_in_pages() -> Result<()> {
    let flags = vec![(Component::ApiServer, "--feature-gates=WatchList=false".to_owned())];
    let world = World::start(Options { flags, ..Options::default() }).await?;
    let shop = Namespace::new(&world, "pages").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.drifts("deployment.web", 1).await.map(drop)
}
