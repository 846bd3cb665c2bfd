//! The mode `record`: the server names the user of each drift, and never a wrong one.
//!
//! Users and service accounts write counts in every way, all at once: with conflicts and retries, dry runs, writes that
//! another webhook refuses, a 0 through `/scale`, and two users who write the same count. Both Helms and autoscalers write,
//! too. The log of the server has a line for each drift; the test knows who wrote which count.

mod others;
mod truth;
mod writers;

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::wait;
use fastrand::Rng;

use self::{
    others::{autoscale, upgrade, write_zeros, zero_targets},
    truth::{Report, Truth},
    writers::Writers,
};
use super::{recording_cluster, start};
use support::{
    Namespace, TestCluster, admission,
    manifests::{ReplicaCountManifest, Workload, names},
    release,
};

/// The count that is held.
const HELD: i32 = 1;

/// How long the server may need for all corrections after the last write. It makes few a minute of one target.
const PATIENCE: Duration = Duration::from_secs(180);

/// How much is written.
#[derive(Clone, Copy)]
struct Load {
    /// Writes by users, in all ways.
    writes: usize,
    /// The Deployments that they write.
    targets: usize,
    users: usize,
    /// Writes of a 0 through `/scale`.
    zeros: usize,
    /// Upgrades by each Helm.
    upgrades: i32,
    /// The autoscaled Deployments, and the drifts of each.
    autoscaled: (usize, i64),
}

const FULL: Load = Load { writes: 10_000, targets: 200, users: 20, zeros: 200, upgrades: 200, autoscaled: (20, 10) };

const SHORT: Load = Load { writes: 450, targets: 10, users: 8, zeros: 10, upgrades: 2, autoscaled: (2, 3) };

#[tokio::test]
async fn the_user_of_each_drift_is_named_or_none() -> Result<()> {
    let cluster = recording_cluster().await?;
    let report = write(&cluster, SHORT, 1).await?;
    // On a loaded machine, reviews may come too late.
    let unnamed = report.unnamed as u64;
    ensure!(unnamed <= report.let_through, "{unnamed} drifts are not named: {report:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "10,000 writes take minutes, and need an idle machine: make stress"]
async fn ten_thousand_writes_name_no_wrong_user_and_nearly_every_right_one() -> Result<()> {
    let report = write(&start("record", &[]).await?, FULL, fastrand::u64(..)).await?;
    let share = report.named as f64 / (report.named + report.unnamed) as f64;
    ensure!(share >= 0.999, "{:.2} % of the drifts are named: {report:?}", share * 100.0);
    Ok(())
}

/// Creates Deployments that are held.
async fn create_held(shop: &Namespace<'_>, names: &[String]) -> Result<()> {
    shop.create_all(names, |name| Workload::deployment(name).replicas(HELD).without_pods().manifest()).await?;
    hold(shop, names).await
}

async fn hold(shop: &Namespace<'_>, names: &[String]) -> Result<()> {
    shop.create_all(names, |name| ReplicaCountManifest::deployment(name).replicas(HELD).manifest()).await?;
    for name in names {
        let is_in_place = |count: &serde_json::Value| count["status"]["observed"] == HELD;
        shop.wait_for_replica_count(&format!("deployment.{name}"), "the target in place", is_in_place).await?;
    }
    Ok(())
}

/// Writes, and compares the names in the log with the truth. Fails at a wrong name.
async fn write(cluster: &TestCluster, load: Load, seed: u64) -> Result<Report> {
    println!("names: seed {seed}");
    let let_through = admission::fail_opens(cluster).await?;
    let [shop, scaled, zeroed, third, fourth] = [
        Namespace::new(cluster, "names").await?,
        Namespace::new(cluster, "scaled").await?,
        Namespace::new(cluster, "zeroed").await?,
        Namespace::new(cluster, "third").await?,
        Namespace::new(cluster, "fourth").await?,
    ];
    let targets = names("web", load.targets);
    create_held(&shop, &targets).await?;
    create_held(&scaled, &names("auto", load.autoscaled.0)).await?;
    create_held(&zeroed, &zero_targets(load.zeros)).await?;
    let truth = Truth::default();
    let mut writers = Writers::new(&shop, &truth, load.users, Rng::with_seed(seed)).await?;
    tokio::try_join!(
        writers.write(&targets, load.writes),
        autoscale(&scaled, &truth, load.autoscaled),
        write_zeros(&zeroed, &truth, load.zeros),
        async {
            upgrade(&third, &truth, 3, load.upgrades).await?;
            upgrade(&fourth, &truth, 4, load.upgrades).await
        },
    )?;
    for shop in [&shop, &scaled, &zeroed, &third, &fourth] {
        wait_until_corrected(shop).await?;
    }
    let server = cluster.server().await?;
    let mut report = truth.compare(&admission::logged_drifts(&cluster.log(release::NAME, &server.pod)?));
    report.let_through = admission::fail_opens(cluster).await? - let_through;
    println!("names: {report:?}; {} writes were no drift of their own", report.unseen);
    ensure!(report.wrong.is_empty(), "wrong names: {:?}", report.wrong);
    ensure!(report.named > 0, "no drift is named");
    Ok(report)
}

/// Waits until every Deployment has its held count again, and every drift is reported as corrected.
async fn wait_until_corrected(shop: &Namespace<'_>) -> Result<()> {
    wait::until("the corrections of all drifts", PATIENCE, async || {
        let counts = shop.get("replicacounts").await?;
        let is_open = |count: &&serde_json::Value| {
            let status = &count["status"];
            status["observed"] != HELD || !status["lastDrift"].is_null() && status["lastDrift"]["correctedAt"].is_null()
        };
        let open = counts["items"].as_array().into_iter().flatten().filter(is_open).count();
        ensure!(open == 0, "{open} are not corrected");
        Ok(())
    })
    .await
}
