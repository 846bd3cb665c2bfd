//! The condition `Ready` during rolling updates and scale-downs: it is False only where fewer replicas than desired are
//! ready.

use std::pin::pin;

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use replica_count_manager::resources::ReplicaCount;
use serde_json::json;
use tokio::time::timeout;

use support::{Namespace, PATIENCE};

/// Rolls a Deployment of two replicas several times, first with surge alone, then with unavailable replicas. Checks each
/// status on the way.
async fn roll(purpose: &str, times: usize) -> Result<()> {
    let shop = Namespace::shared(purpose).await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 2).await?;
    shop.kubectl(&["wait", "--for=condition=Ready", "replicacount/deployment.web", "--timeout=60s"]).await?;
    let counts: Api<ReplicaCount> = Api::namespaced(shop.cluster.control_plane.client().await?, &shop.name);
    let version = counts.get("deployment.web").await?.metadata.resource_version.context("no version")?;
    for revision in 0..times {
        // New replicas count as ready a second before they count as available, so that a surge is seen.
        let (unavailable, seconds) = if revision % 2 == 0 { (0, 1) } else { (1, 0) };
        let patch = json!({"spec": {
            "minReadySeconds": seconds,
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": unavailable}},
            "template": {"metadata": {"annotations": {"revision": format!("roll-{revision}")}}},
        }});
        shop.kubectl(&["patch", "deployment/web", &format!("--patch={patch}")]).await?;
        shop.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).await?;
    }
    shop.set("web", 1).await?;
    let mut events = pin!(counts.watch(&WatchParams::default(), &version).await?);
    let mut surges = 0;
    let follow = async {
        while let Some(event) = events.try_next().await? {
            let (WatchEvent::Added(count) | WatchEvent::Modified(count)) = event else { continue };
            let status = count.status.context("no status")?;
            let ready = status.conditions.iter().find(|one| &*one.type_ == "Ready").context("no Ready")?;
            let (now, desired) = (status.ready.unwrap_or_default(), status.desired.unwrap_or_default());
            let is_in_place = status.observed == status.desired;
            ensure!(
                (&*ready.status == "True") == (is_in_place && now >= desired),
                "{now} of {desired} ready: {ready:?}"
            );
            surges += usize::from(&*ready.status == "True" && desired == 2 && now > desired);
            if desired == 1 && is_in_place && now == 1 {
                return Ok(());
            }
        }
        anyhow::bail!("the watch has ended")
    };
    timeout(PATIENCE, follow).await??;
    ensure!(surges > 0, "no status shows a surge");
    Ok(())
}

#[tokio::test]
async fn a_rolling_update_is_not_ready_only_while_replicas_are_missing() -> Result<()> {
    roll("rollouts", 5).await
}

#[tokio::test]
#[ignore = "rolls 100 times, which takes minutes: make stress"]
async fn a_hundred_rolling_updates_are_not_ready_only_while_replicas_are_missing() -> Result<()> {
    roll("hundred-rollouts", 100).await
}
