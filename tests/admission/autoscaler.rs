//! A real HorizontalPodAutoscaler in the mode `guard`: it is paused while the count is held, and nothing touches it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{AUTOSCALER, guarded_cluster, hostile_writes, recorder::Recorder, start};
use crate::autoscalers::autoscaler_of;
use support::{Namespace, PATIENCE, TestCluster, admission, condition};

/// The held count, and the minimum of the autoscaler.
const HELD: i64 = 3;
const MINIMUM: i32 = 5;

/// How long a round of the autoscalers lasts in these tests, with the time of the controller itself.
const ROUND: Duration = Duration::from_millis(1000 + 500);

/// How long the server may collect attempts until it writes a status.
const REPORTED: Duration = Duration::from_secs(10);

/// Sets the count of the Deployment `web` without force, and returns the warnings.
async fn set(shop: &Namespace<'_>, until: Option<&str>) -> Result<Value> {
    let target = json!({"namespace": shop.name, "name": "web"});
    let mut request = json!({"target": target, "replicas": HELD});
    if let Some(until) = until {
        request["until"] = until.into();
    }
    Ok(shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await?["warnings"].take())
}

/// Waits until the autoscaler says that it cannot scale, and returns its message.
async fn wait_until_paused(shop: &Namespace<'_>) -> Result<String> {
    wait::until("a paused autoscaler", PATIENCE, async || {
        let autoscaler = shop.get("horizontalpodautoscaler/web").await?;
        ensure!(condition(&autoscaler, "AbleToScale") == Some(("False", "FailedUpdateScale")), "it is {autoscaler}");
        let conditions = autoscaler["status"]["conditions"].as_array().context("no conditions")?;
        let able = conditions.iter().find(|one| one["type"] == "AbleToScale").context("no condition")?;
        Ok(able["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// The message of the condition `Contested` of a paused autoscaler's target.
fn paused_message(count: &Value) -> Option<&str> {
    let conditions = count.pointer("/status/conditions")?.as_array()?;
    let contested = conditions.iter().find(|one| one["type"] == "Contested")?;
    let is_paused = contested["status"] == "False" && contested["reason"] == "AutoscalerPaused";
    contested["message"].as_str().filter(|_| is_paused)
}

/// Holds a Deployment while an autoscaler acts, until the status has counted these many rounds. Ends the hold, and returns
/// how long after that the autoscaler has scaled.
async fn pause(cluster: &TestCluster, rounds: i64) -> Result<Duration> {
    let shop = Namespace::new(cluster, "paused").await?;
    shop.deployment("web", 3).await?;
    set(&shop, None).await?;
    hostile_writes::wait_until_guarded(&shop, "deployment.web").await?;
    let let_through = admission::fail_opens(cluster).await?;
    let recorder = Recorder::start(&shop).await?;
    shop.kubectl_with(&["create", "--filename=-"], &autoscaler_of("web", MINIMUM)).await?;
    let message = wait_until_paused(&shop).await?;
    ensure!(message.contains(&format!("deployment.apps/web is held at {HELD}")), "{message}");
    let within = ROUND * u32::try_from(rounds)? + REPORTED + PATIENCE;
    let count = wait::until(&format!("{rounds} rounds"), within, async || {
        let count = shop.get("replicacount/deployment.web").await?;
        ensure!(count["status"]["attempts"].as_i64().is_some_and(|attempts| attempts >= rounds), "{count}");
        Ok(count)
    })
    .await?;
    let last = &count["status"]["lastAttempt"];
    let seen = (&last["user"], &last["from"], &last["to"], &last["verdict"]);
    assert_eq!(seen, (&json!(AUTOSCALER), &json!(HELD), &json!(MINIMUM), &json!("denied")), "{count}");
    let message = paused_message(&count).with_context(|| format!("not paused: {count}"))?;
    ensure!(message == "HorizontalPodAutoscaler web is paused while the count is held", "{message}");
    let counts = recorder.end().await?;
    let let_through = admission::fail_opens(cluster).await? - let_through;
    let foreign = counts.iter().filter(|(_, counts)| counts.iter().any(|count| *count != HELD)).count();
    ensure!(foreign == 0 || let_through > 0, "other counts were stored: {counts:?}");

    shop.kubectl(&["delete", "replicacount/deployment.web"]).await?;
    let ended = Instant::now();
    shop.wait_for_replicas("deployment/web", MINIMUM.into()).await?;
    Ok(ended.elapsed())
}

#[tokio::test]
async fn an_autoscaler_is_paused_and_scales_when_the_hold_ends() -> Result<()> {
    // Other tests run beside this one, so its time is not compared.
    let cluster = guarded_cluster().await?;
    let took = pause(&cluster, 2).await?;
    println!("the autoscaler scaled {took:?} after the end of the hold");
    Ok(())
}

#[tokio::test]
#[ignore = "40 rounds take a minute, and it compares times: make stress"]
async fn an_autoscaler_is_paused_for_forty_rounds_and_scales_within_one() -> Result<()> {
    let cluster = start("guard", &[]).await?;
    let took = pause(&cluster, 40).await?;
    ensure!(admission::fail_opens(&cluster).await? == 0, "a webhook answered too late");
    // kubectl takes a moment to read the count.
    ensure!(took <= 2 * ROUND, "the autoscaler scaled {took:?} after the end of the hold");
    Ok(())
}

#[tokio::test]
async fn a_set_on_an_autoscaled_target_needs_no_force_and_says_until_when_the_autoscaler_is_paused() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "autoscaled").await?;
    shop.deployment("web", 5).await?;
    shop.kubectl_with(&["create", "--filename=-"], &autoscaler_of("web", MINIMUM)).await?;
    let warnings = wait::until("the server to know the autoscaler", PATIENCE, async || {
        let warnings = set(&shop, Some("2099-01-01T00:00:00Z")).await?;
        ensure!(warnings.to_string().contains("HorizontalPodAutoscaler"), "{warnings}");
        Ok(warnings)
    })
    .await?;
    let paused = "HorizontalPodAutoscaler web is paused while the count is held, until 2099-01-01T00:00:00Z";
    ensure!(warnings.to_string().contains(paused), "{warnings}");
    shop.wait_for_replicas("deployment/web", HELD).await?;
    wait_until_paused(&shop).await?;
    let is_paused = |count: &Value| paused_message(count) == Some(paused);
    shop.wait_for_replica_count("deployment.web", "the condition", is_paused).await?;

    let mut plugin = shop.cluster.plugin();
    let get = run(plugin.args(["get", "web", "--namespace", &shop.name])).await?;
    ensure!(get.contains("guarded"), "{get}");
    Ok(())
}
