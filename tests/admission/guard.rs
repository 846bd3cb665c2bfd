//! The mode `guard`: a held count stays, whatever is written, and the writer learns who holds it and how to change it.

use std::{
    pin::pin,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1;
use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    guarded_cluster, hostile_writes,
    recorder::Recorder,
    start,
    ways::{Way, Written, refusal},
};
use support::{
    Namespace, PATIENCE, TestCluster, admission,
    application::{HelmUpgrade, wait_for_owner},
    callers,
    namespace::ExpectedEvent,
    two_replicas::target,
};

/// The longest time from the answer of a Set until its count is in place, on an idle machine.
const SOON: Duration = Duration::from_millis(100);

/// How long an override lasts in these tests.
const OVERRIDE: Duration = Duration::from_secs(4);

/// The latest end of an override, on an idle machine.
const ON_TIME: Duration = Duration::from_secs(1);

#[tokio::test]
async fn no_way_of_writing_stores_another_count() -> Result<()> {
    let cluster = guarded_cluster().await?;
    hostile_writes::write(&cluster, "hostile", 50, 1).await.map(drop)
}

#[tokio::test]
#[ignore = "needs an idle machine, as late answers let writes through: make stress"]
async fn none_of_a_thousand_hostile_writes_stores_another_count() -> Result<()> {
    let cluster = start("guard", &[]).await?;
    let let_through = admission::fail_opens(&cluster).await?;
    let tallies = hostile_writes::write(&cluster, "hostile", 1000, fastrand::u64(..)).await?;
    ensure!(admission::fail_opens(&cluster).await? == let_through, "a webhook answered too late");
    ensure!(tallies.len() == Way::ALL.len(), "not every way was used: {tallies:?}");
    Ok(())
}

/// Holds the Deployment `web` at 3 replicas, and waits until its count is guarded.
async fn hold(shop: &Namespace<'_>) -> Result<()> {
    shop.set("web", 3).await?;
    hostile_writes::wait_until_guarded(shop, "deployment.web").await
}

#[tokio::test]
async fn helm_4_upgrades_with_other_counts_succeed_and_warn_four_times_in_a_row() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "helm").await?;
    HelmUpgrade::to(shop.cluster.helm(), "first").replicas(2).run(&shop).await?;
    hold(&shop).await?;
    wait_for_owner(&shop, "helm").await?;
    let let_through = admission::fail_opens(shop.cluster).await?;
    for number in 1..=4 {
        let upgrade = HelmUpgrade::to(shop.cluster.helm(), &format!("upgrade-{number}")).replicas(3 + number);
        let (success, output) = upgrade.attempt(&shop).await?;
        ensure!(success, "{output}");
        let is_warned =
            output.contains("deployment.apps/web is held at 3 by admin") && output.contains("the count stays 3");
        ensure!(is_warned || admission::fail_opens(shop.cluster).await? > let_through, "no warning: {output}");
        shop.wait_for_replicas("deployment/web", 3).await?;
        wait_for_owner(&shop, "helm").await?;
    }
    let is_counted = |count: &Value| count["status"]["attempts"].as_i64().is_some_and(|attempts| attempts > 0);
    let count = shop.wait_for_replica_count("deployment.web", "the attempts", is_counted).await?;
    // Helm runs with an administrator's certificate.
    ensure!(count["status"]["lastAttempt"]["user"] == "admin", "{count}");
    Ok(())
}

#[tokio::test]
async fn an_attempt_becomes_one_event_and_a_status_with_the_user() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "attempt").await?;
    shop.deployment("web", 1).await?;
    hold(&shop).await?;
    let web = Written::new(callers::editor(shop.cluster, "mallory").await?, &shop.name, "Deployment", "web");
    let refused = refusal(web.write(Way::PatchScale, 7, "console", false).await)?.context("it was accepted")?;
    ensure!(refused.message.contains("deployment.apps/web is held at 3 by admin"), "{}", refused.message);
    ensure!(refused.message.contains("kubectl replicas set web COUNT"), "{}", refused.message);
    let is_counted = |count: &Value| count["status"]["attempts"] == 1;
    let count = shop.wait_for_replica_count("deployment.web", "the attempt", is_counted).await?;
    let last = &count["status"]["lastAttempt"];
    let expected =
        json!({"user": "mallory", "manager": "console", "from": 3, "to": 7, "verdict": "denied", "at": last["at"]});
    assert_eq!(*last, expected, "{count}");
    assert_eq!(count["status"]["drifts"].as_i64().unwrap_or_default(), 0, "{count}");
    ExpectedEvent { namespace: &shop.name, kind: "Deployment", reason: "Guarded", note: "mallory" }
        .wait(shop.cluster)
        .await
}

#[tokio::test]
async fn the_holder_is_named_only_to_users_who_may_see_it() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "holder").await?;
    shop.deployment("web", 1).await?;
    hold(&shop).await?;
    let role = ["create", "role", "scaler", "--verb=get,patch", "--resource=deployments.apps/scale"];
    shop.kubectl(&role).await?;
    shop.kubectl(&["create", "rolebinding", "scaler", "--role=scaler", "--user=scaler"]).await?;
    let client = callers::impersonated(shop.cluster, "scaler", &[]).await?;
    let web = Written::new(client, &shop.name, "Deployment", "web");
    // The API server knows the new right after a moment.
    wait::until("the denial", PATIENCE, async || {
        let refused = refusal(web.write(Way::PatchScale, 7, "scaler", true).await)?.context("it was accepted")?;
        ensure!(refused.message.contains("deployment.apps/web is held at 3; change it with"), "{}", refused.message);
        Ok(())
    })
    .await
}

/// Sets a count and returns the time of the answer.
async fn set(shop: &Namespace<'_>, request: v1::SetReplicaCountRequest) -> Result<Instant> {
    let request = v1::SetReplicaCountRequest { target: target(shop, "web"), ..request };
    shop.cluster.client()?.set_replica_count(request).await?;
    Ok(Instant::now())
}

/// Waits until the Deployment `web` has a count, and returns the time of that.
async fn wait_for_count(shop: &Namespace<'_>, expected: i32) -> Result<Instant> {
    let api: Api<Deployment> = Api::namespaced(shop.cluster.control_plane.client().await?, &shop.name);
    let has_count = |web: &Deployment| web.spec.as_ref().and_then(|spec| spec.replicas) == Some(expected);
    let web = api.get("web").await?;
    if has_count(&web) {
        return Ok(Instant::now());
    }
    let version = web.metadata.resource_version.context("no version")?;
    let follow = async {
        let mut events = pin!(api.watch(&WatchParams::default(), &version).await?);
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Modified(web) = event
                && has_count(&web)
            {
                return Ok(Instant::now());
            }
        }
        anyhow::bail!("the watch has ended")
    };
    timeout(PATIENCE, follow).await.with_context(|| format!("web does not get {expected} replicas"))?
}

/// Sets counts one after another, and returns the longest time until one was in place and the one before was refused.
async fn set_in_turn(cluster: &TestCluster, times: i32) -> Result<Duration> {
    let shop = Namespace::new(cluster, "sets").await?;
    shop.deployment("web", 1).await?;
    hold(&shop).await?;
    let web = Written::new(callers::editor(cluster, "mallory").await?, &shop.name, "Deployment", "web");
    let mut slowest = Duration::ZERO;
    for replicas in 4..4 + times {
        let answered =
            set(&shop, v1::SetReplicaCountRequest { replicas: Some(replicas), ..Default::default() }).await?;
        let in_place = wait_for_count(&shop, replicas).await?;
        slowest = slowest.max(in_place.saturating_duration_since(answered));
        let refused = refusal(web.write(Way::PatchScale, replicas - 1, "old", false).await)?;
        ensure!(refused.is_some(), "{} could still be written", replicas - 1);
    }
    println!("the slowest of {times} Sets in mode guard took {slowest:?}");
    Ok(slowest)
}

#[tokio::test]
async fn a_set_takes_effect_and_guards_the_new_count() -> Result<()> {
    // Other tests run beside this one, so its time is not compared.
    let cluster = guarded_cluster().await?;
    set_in_turn(&cluster, 3).await.map(drop)
}

#[tokio::test]
#[ignore = "compares times, so nothing may run beside it: make stress"]
async fn a_set_takes_effect_within_a_tenth_of_a_second() -> Result<()> {
    let slowest = set_in_turn(&start("guard", &[]).await?, 100).await?;
    ensure!(slowest <= SOON, "the slowest Set took {slowest:?}");
    Ok(())
}

/// Waits for the end of an override, and returns how late it was. Afterwards, the override's count cannot be written.
async fn override_ends(cluster: &TestCluster) -> Result<Duration> {
    let shop = Namespace::new(cluster, "override").await?;
    shop.deployment("web", 1).await?;
    hold(&shop).await?;
    let web = Written::new(callers::editor(cluster, "mallory").await?, &shop.name, "Deployment", "web");
    // Whole seconds, as the API server stores them.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let until = Duration::from_secs((now + OVERRIDE).as_secs());
    let end = Instant::now() + (until - now);
    let until = Timestamp { seconds: until.as_secs().try_into()?, nanos: 0 };
    set(&shop, v1::SetReplicaCountRequest { replicas: Some(9), until: Some(until), ..Default::default() }).await?;
    wait_for_count(&shop, 9).await?;
    let refused =
        refusal(web.write(Way::PatchScale, 3, "early", false).await)?.context("the lasting count was stored")?;
    ensure!(refused.message.contains("is held at 9 by admin until "), "{}", refused.message);
    let ended = wait_for_count(&shop, 3).await?;
    ensure!(ended >= end, "it ended {:?} too early", end - ended);
    let refused = refusal(web.write(Way::PatchScale, 9, "late", false).await)?.context("the old count was stored")?;
    ensure!(refused.message.contains("is held at 3 by admin"), "{}", refused.message);
    Ok(ended - end)
}

#[tokio::test]
async fn an_override_ends_and_its_count_can_then_not_be_written() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let late = override_ends(&cluster).await?;
    println!("the override ended {late:?} late");
    Ok(())
}

#[tokio::test]
#[ignore = "compares times, so nothing may run beside it: make stress"]
async fn an_override_ends_on_time() -> Result<()> {
    let late = override_ends(&start("guard", &[]).await?).await?;
    ensure!(late <= ON_TIME, "it ended {late:?} late");
    Ok(())
}

#[tokio::test]
async fn counts_that_are_not_held_are_written_as_before() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "free").await?;
    shop.deployment("free", 1).await?;
    let free = Written::new(callers::editor(shop.cluster, "alice").await?, &shop.name, "Deployment", "free");
    let recorder = Recorder::start(&shop).await?;
    for (way, count) in Way::ALL.into_iter().zip(2..) {
        let refused = refusal(free.write(way, count, "free", false).await)?;
        ensure!(refused.is_none(), "{way:?}: {refused:?}");
        ensure!(super::ways::count(&free.stored().await?) == i64::from(count), "{way:?} did not store {count}");
    }
    recorder.end().await.map(drop)
}
