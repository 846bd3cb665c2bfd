//! `helm upgrade` of the server under load. Clients that use ready endpoints and never retry do not notice it.

mod load;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cluster::{Options, run, wait};

use self::load::Load;
use support::{Namespace, PATIENCE, TestCluster, release, two_replicas};

/// Upgrades the release to another pod template, and waits until the old pods are gone.
async fn upgrade(cluster: &TestCluster, revision: u32) -> Result<()> {
    let before = pods(cluster).await?;
    let mut helm = cluster.helm();
    helm.args(["upgrade", release::NAME, release::CHART, "--namespace", release::NAME, "--wait", "--timeout=2m"]);
    helm.args(release::VALUES)
        .args(["--set=replicaCount=2", &format!("--set-string=podAnnotations.revision=r{revision}")]);
    run(&mut helm).await?;
    wait::until("two other pods alone", PATIENCE, async || {
        let now = pods(cluster).await?;
        ensure!(now.len() == before.len() && now.is_disjoint(&before), "before: {before:?}, now: {now:?}");
        Ok(())
    })
    .await
}

/// The names of all server pods, including terminating ones.
async fn pods(cluster: &TestCluster) -> Result<BTreeSet<String>> {
    let get = ["get", "pods", "--namespace", release::NAME, "--selector=app.kubernetes.io/component=server"];
    let names = run(cluster.kubectl().args(get).arg("--output=name")).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Upgrades the release again and again until a number of calls were made, at least once.
async fn upgrade_under_load(calls: usize) -> Result<()> {
    let cluster = two_replicas::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "upgraded").await?;
    let load = Load::new(&shop).await?;
    let upgrades = async {
        let mut revision = 0;
        while revision == 0 || load.calls() < calls {
            revision += 1;
            upgrade(&cluster, revision).await?;
        }
        load.stop();
        Ok(revision)
    };
    let (upgrades, slowest) = tokio::try_join!(upgrades, load.run())?;
    println!("{upgrades} upgrades; the slowest correction took {slowest:?}; calls and failures: {:?}", load.tally());
    load.assert_no_failures()?;
    load.verify_counts().await
}

#[tokio::test]
async fn an_upgrade_under_load_fails_no_call_and_leaves_no_drift() -> Result<()> {
    upgrade_under_load(1).await
}

#[tokio::test]
#[ignore = "its 10,000 calls take minutes: make stress"]
async fn upgrades_during_ten_thousand_calls_fail_no_call_and_leave_no_drift() -> Result<()> {
    upgrade_under_load(10_000).await
}
