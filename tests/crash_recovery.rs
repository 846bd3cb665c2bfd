//! An accepted Set takes effect even if the server, the API server or etcd is killed. Each test starts its own cluster.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{Component, Options};
use tokio::time::Instant;

use support::{
    HangingWebhook, Namespace, SetRequests, TestCluster, condition,
    manifests::{ReplicaCountManifest, Workload, names},
    release,
};

#[tokio::test]
async fn every_accepted_set_survives_kills_of_the_api_server_and_etcd() -> Result<()> {
    let cluster = TestCluster::start(Options { fsync: true, ..Options::default() }).await?;
    let shop = Namespace::new(&cluster, "faults").await?;
    let pid = cluster.server().await?.process.pid()?;
    let mut set_requests = SetRequests::new(&shop);
    for index in 0..6 {
        let name = format!("web-{index}");
        shop.deployment(&name, 1).await?;
        set_requests.start(name, cluster.client()?);
    }
    for component in [Component::ApiServer, Component::Etcd, Component::ApiServer] {
        set_requests.wait_for_accepted(20).await?;
        let component = cluster.control_plane.component(component);
        component.kill().await?;
        component.start().await?;
    }
    set_requests.wait_for_accepted(20).await?;
    set_requests.stop_and_verify().await?;
    assert_eq!(cluster.server().await?.process.pid()?, pid, "the server was not restarted");
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_makes_the_correction_of_a_killed_one() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "killed").await?;
    shop.deployment("web", 1).await?;
    // Without the right to scale, the server stores the Set but cannot make the correction.
    let without_scale = |role: String| role.replace("deployments/scale", "deployments/none");
    let rules = cluster.remove_right("patch deployments.apps --subresource=scale", without_scale).await?;
    shop.set("web", 3).await?;
    let failing = |count: &serde_json::Value| condition(count, "Ready") == Some(("False", "CorrectionFailed"));
    let count = shop.wait_for_replica_count("deployment.web", "the failed correction", failing).await?;
    assert!(count.to_string().contains("cannot patch resource"), "{count}");
    assert_eq!(shop.replicas("deployment/web").await?, 1);

    let killed = cluster.server().await?.process;
    killed.kill()?;
    cluster.replace(&rules).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    assert_ne!(cluster.server().await?.process.pid()?, killed.pid()?);
    Ok(())
}

#[tokio::test]
async fn a_drift_while_the_server_is_down_is_corrected_and_its_actor_is_named() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "absent").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
        .await?;
    let server = cluster.server().await?.process;
    server.pause()?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    assert_eq!(shop.replicas("deployment/web").await?, 8);
    server.kill()?;
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    assert_eq!((&status["lastDrift"]["manager"], &status["lastDrift"]["to"]), (&"kubectl".into(), &8.into()));
    shop.wait_for_replicas("deployment/web", 3).await
}

#[tokio::test]
async fn a_watch_with_a_forgotten_resource_version_lists_again() -> Result<()> {
    // A restarted API server has no history, so it answers 410 Gone to a watch from before its start.
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "gone").await?;
    shop.deployment("web", 1).await?;
    shop.deployment("old", 1).await?;
    shop.set("web", 3).await?;
    shop.set("old", 3).await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3)
        .await?;
    let server = cluster.server().await?;
    server.process.pause()?;
    let api_server = cluster.control_plane.component(Component::ApiServer);
    api_server.kill().await?;
    api_server.start().await?;
    // These changes happen while no open connection could still contain their events.
    shop.kubectl(&["delete", "replicacount/deployment.old"]).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    let resumed = Instant::now();
    server.process.resume()?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    ensure!(resumed.elapsed() < Duration::from_secs(30), "it took {:?}", resumed.elapsed());
    let log = cluster.log(release::NAME, &server.pod)?;
    ensure!(log.contains("too old resource version"), "no watch was too old: {log}");
    shop.wait_until_unmanaged("old").await?;
    shop.kubectl(&["scale", "deployment/old", "--replicas=8"]).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    assert_eq!(shop.replicas("deployment/old").await?, 8, "its ReplicaCount was deleted while there was no watch");
    assert_eq!(cluster.server().await?.process.pid()?, server.process.pid()?, "the server was not restarted");
    Ok(())
}

#[tokio::test]
async fn targets_behind_a_hanging_webhook_delay_no_other_target() -> Result<()> {
    const HUNG: usize = 150;
    let cluster = TestCluster::start(Options::default()).await?;
    let (hung, well) = (Namespace::new(&cluster, "hung").await?, Namespace::new(&cluster, "well").await?);
    well.deployment("web", 0).await?;
    well.set("web", 0).await?;
    let names = names("web", HUNG);
    hung.create_all(&names, |name| Workload::deployment(name).replicas(0).manifest()).await?;

    let _webhook = HangingWebhook::start(&hung, "web-0").await?;
    // From here on, the correction of each of these targets hangs.
    hung.create_all(&names, |name| ReplicaCountManifest::deployment(name).replicas(1).manifest()).await?;
    hung.wait_for_replica_count("deployment.web-99", "the last of them known", |count| count["status"]["desired"] == 1)
        .await?;
    let start = Instant::now();
    well.kubectl(&["scale", "deployment/web", "--replicas=1"]).await?;
    well.wait_for_drifts("deployment.web", 1).await?;
    ensure!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    Ok(())
}
