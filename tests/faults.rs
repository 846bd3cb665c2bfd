//! What was accepted is in force, whatever is killed. Each test breaks a cluster of its own.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::{Component, Options, wait};
use replica_count_manager::proto::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, interval},
};
use tonic::transport::Channel;

use crate::support::{
    Namespace, PATIENCE, World,
    namespace::{manifest, replica_count},
};

/// How often a setter sets: often enough to be in the middle of one at any time, and not so often that a refused one,
/// which costs nothing, keeps the machine from starting the API server again.
const PACE: Duration = Duration::from_millis(20);

/// Sets rising counts of one target until told to stop, and returns the last one that was accepted.
async fn keep_setting(
    mut client: ReplicasServiceClient<Channel>,
    target: v1::Target,
    stop: watch::Receiver<bool>,
    accepted: watch::Sender<u32>,
) -> i32 {
    let mut last = 0;
    let mut pace = interval(PACE);
    loop {
        pace.tick().await;
        if *stop.borrow() {
            return last;
        }
        let replicas = last + 1;
        let request =
            v1::SetReplicaCountRequest { target: Some(target.clone()), replicas: Some(replicas), ..Default::default() };
        if client.set_replica_count(request).await.is_ok() {
            last = replicas;
            accepted.send_modify(|count| *count += 1);
        }
    }
}

/// Waits until so many more Sets have been accepted.
async fn accepted_more(accepted: &watch::Sender<u32>, more: u32) -> Result<()> {
    let goal = *accepted.borrow() + more;
    let mut accepted = accepted.subscribe();
    let reached = tokio::time::timeout(PATIENCE, accepted.wait_for(|count| *count >= goal)).await;
    ensure!(reached.is_ok(), "no {more} further Sets were accepted");
    Ok(())
}

#[tokio::test]
async fn every_accepted_set_survives_kills_of_the_api_server_and_etcd() -> Result<()> {
    let world = World::start(Options { fsync: true, ..Options::default() }).await?;
    let shop = Namespace::new(&world, "faults").await?;
    let pid = world.server().await?.process.pid()?;
    let (stop, stopped) = watch::channel(false);
    let accepted = watch::Sender::new(0);
    let mut setters = JoinSet::new();
    for index in 0..6 {
        let name = format!("web-{index}");
        shop.deployment(&name, 1).await?;
        let target = v1::Target { namespace: shop.name.clone(), name: name.clone(), ..Default::default() };
        let setting = keep_setting(world.client()?, target, stopped.clone(), accepted.clone());
        setters.spawn(async move { (name, setting.await) });
    }
    for component in [Component::ApiServer, Component::Etcd, Component::ApiServer] {
        accepted_more(&accepted, 20).await?;
        let component = world.cluster.component(component);
        component.kill().await?;
        component.start().await?;
    }
    accepted_more(&accepted, 20).await?;
    stop.send_replace(true);

    let mut last = BTreeMap::new();
    while let Some(setter) = setters.join_next().await {
        last.extend([setter?]);
    }
    for (name, accepted) in last {
        // A Set without an answer may have been stored, so the count can be a later one, but never an earlier.
        let count = shop.get(&format!("replicacount/deployment.{name}")).await?;
        let stored = count["spec"]["replicas"].as_i64().context("no count")?;
        ensure!(stored >= i64::from(accepted), "{name}: {accepted} was accepted, and {stored} is stored");
        shop.reaches(&format!("deployment/{name}"), stored).await?;
    }
    assert_eq!(world.server().await?.process.pid()?, pid, "the server was not restarted");
    Ok(())
}

#[tokio::test]
async fn a_server_killed_between_a_set_and_its_correction_leaves_it_to_the_next() -> Result<()> {
    let world = World::start(Options::default()).await?;
    let shop = Namespace::new(&world, "killed").await?;
    shop.deployment("web", 1).await?;
    // Without the right to scale, the server stores the Set and cannot correct.
    let without_scale = |role: String| role.replace("deployments/scale", "deployments/none");
    let rules = world.take_right("patch deployments.apps --subresource=scale", without_scale).await?;
    shop.set("web", 3).await?;
    let failing =
        |count: &serde_json::Value| crate::support::condition(count, "Ready") == Some(("False", "CorrectionFailed"));
    let count = shop.count("deployment.web", "the failed correction", failing).await?;
    assert!(count.to_string().contains("cannot patch resource"), "{count}");
    assert_eq!(shop.replicas("deployment/web").await?, 1);

    let killed = world.server().await?.process;
    killed.kill()?;
    world.replace(&rules).await?;
    shop.reaches("deployment/web", 3).await?;
    assert_ne!(world.server().await?.process.pid()?, killed.pid()?);
    Ok(())
}

#[tokio::test]
async fn drift_of_a_time_without_server_is_corrected_and_its_actor_named() -> Result<()> {
    let world = World::start(Options::default()).await?;
    let shop = Namespace::new(&world, "absent").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    shop.count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3).await?;
    let server = world.server().await?.process;
    server.pause()?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    assert_eq!(shop.replicas("deployment/web").await?, 8);
    server.kill()?;
    let status = shop.drifts("deployment.web", 1).await?;
    assert_eq!((&status["lastDrift"]["manager"], &status["lastDrift"]["to"]), (&"kubectl".into(), &8.into()));
    shop.reaches("deployment/web", 3).await
}

#[tokio::test]
async fn a_watch_that_the_api_server_forgot_lists_again() -> Result<()> {
    // A restarted API server has no history, so a watch from before its start is answered with 410 Gone.
    let world = World::start(Options::default()).await?;
    let shop = Namespace::new(&world, "gone").await?;
    shop.deployment("web", 1).await?;
    shop.deployment("old", 1).await?;
    shop.set("web", 3).await?;
    shop.set("old", 3).await?;
    shop.count("deployment.web", "the target in place", |count| count["status"]["observed"] == 3).await?;
    let server = world.server().await?.process;
    server.pause()?;
    let api_server = world.cluster.component(Component::ApiServer);
    api_server.kill().await?;
    api_server.start().await?;
    // Changed while no connection is open that could still hold the events.
    shop.kubectl(&["delete", "replicacount/deployment.old"]).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    let resumed = Instant::now();
    server.resume()?;
    shop.reaches("deployment/web", 3).await?;
    ensure!(resumed.elapsed() < Duration::from_secs(30), "it took {:?}", resumed.elapsed());
    shop.forgotten("old").await?;
    shop.kubectl(&["scale", "deployment/old", "--replicas=8"]).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
    shop.reaches("deployment/web", 3).await?;
    assert_eq!(shop.replicas("deployment/old").await?, 8, "its ReplicaCount was deleted while nobody watched");
    assert_eq!(world.server().await?.process.pid()?, server.pid()?, "the server was not restarted");
    Ok(())
}

#[tokio::test]
async fn targets_behind_a_webhook_that_hangs_delay_no_other() -> Result<()> {
    const HUNG: usize = 150;
    let world = World::start(Options::default()).await?;
    let (hung, well) = (Namespace::new(&world, "hung").await?, Namespace::new(&world, "well").await?);
    well.deployment("web", 0).await?;
    well.set("web", 0).await?;
    let manifests = |write: &dyn Fn(&str) -> String| {
        (0..HUNG).map(|index| write(&format!("web-{index}")) + "---\n").collect::<String>()
    };
    hung.kubectl_with(&["create", "--filename=-"], &manifests(&|name| manifest("Deployment", name, 0))).await?;

    // Accepts connections and never answers.
    let silence = TcpListener::bind("127.0.0.1:0").await?;
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "silence"},
        "webhooks": [{
            "name": "silence.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "timeoutSeconds": 30,
            "clientConfig": {"url": format!("https://{}/", silence.local_addr()?)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": hung.name}},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                       "resources": ["deployments/scale"]}],
        }],
    });
    hung.kubectl_with(&["create", "--filename=-"], &webhook.to_string()).await?;
    wait::until("the webhook to hang", PATIENCE, async || {
        let mut scale = world.cluster.kubectl();
        scale.args(["scale", "deployment/web-0", "--replicas=0", "--request-timeout=1s", "--namespace", &hung.name]);
        ensure!(!scale.output().await?.status.success(), "it does not hang yet");
        Ok(())
    })
    .await?;

    // From here on each of these has a correction that hangs.
    hung.kubectl_with(&["create", "--filename=-"], &manifests(&|name| replica_count(name, 1))).await?;
    hung.count("deployment.web-99", "the last of them known", |count| count["status"]["desired"] == 1).await?;
    let start = Instant::now();
    well.kubectl(&["scale", "deployment/web", "--replicas=1"]).await?;
    well.drifts("deployment.web", 1).await?;
    ensure!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    Ok(())
}
