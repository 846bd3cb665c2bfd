//! The API server and etcd restart or hang while two replicas accept Sets and make corrections. No accepted Set is
//! lost, all targets reach their counts, and no server restarts. Each test starts its own cluster.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::{Component, Options, wait};
use contract::replicas::v1;
use tokio::time::Instant;

use support::{
    Namespace, PATIENCE, SetRequests, TestCluster,
    manifests::names,
    release,
    two_replicas::{client_of, create_managed, leader_and_standby, start, target},
};

/// How long the API server hangs. It is longer than every timeout of the server, the Lease's included.
const HANG: Duration = Duration::from_secs(30);

/// Upper bound on the recovery: the Lease may have expired, and the machine may be busy.
const SOON: Duration = Duration::from_secs(30);

/// Two replicas that both receive Sets, and targets that drift.
struct Trial<'a> {
    cluster: &'a TestCluster,
    shop: &'a Namespace<'a>,
    set_requests: SetRequests<'a>,
    drifting: Vec<String>,
    drifts: i64,
    processes: BTreeMap<String, u32>,
}

impl<'a> Trial<'a> {
    async fn new(cluster: &'a TestCluster, shop: &'a Namespace<'a>) -> Result<Self> {
        let (setting, drifting) = (names("set", 6), names("drifting", 6));
        create_managed(shop, &[&setting[..], &drifting[..]].concat()).await?;
        let (leader, standby) = leader_and_standby(cluster).await?;
        let mut set_requests = SetRequests::new(shop);
        for (name, server) in setting.into_iter().zip([&leader, &standby].into_iter().cycle()) {
            set_requests.start(name, client_of(cluster, server)?);
        }
        set_requests.wait_for_accepted(20).await?;
        Ok(Self { cluster, shop, set_requests, drifting, drifts: 0, processes: processes(cluster).await? })
    }

    /// Changes the counts of the drifting targets, and breaks something before the server corrects them.
    async fn break_during_drift(&mut self, fault: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let (leader, _) = leader_and_standby(self.cluster).await?;
        leader.process.pause()?;
        self.drifts += 1;
        let scale = ["scale", "--replicas=7", "deployment"].into_iter();
        self.shop.kubectl(&scale.chain(self.drifting.iter().map(String::as_str)).collect::<Vec<_>>()).await?;
        for name in &self.drifting {
            ensure!(self.shop.replicas(&format!("deployment/{name}")).await? == 7, "{name} was corrected");
        }
        fault().await?;
        leader.process.resume()
    }

    /// Waits until every drift is corrected, and checks that Sets are accepted.
    async fn wait_for_recovery(&self) -> Result<()> {
        let back = Instant::now();
        for name in &self.drifting {
            self.shop.wait_for_replicas(&format!("deployment/{name}"), 1).await?;
        }
        let took = back.elapsed();
        println!("all put back after {took:?}");
        ensure!(took < SOON, "it took {took:?}");
        self.set_requests.wait_for_accepted(20).await
    }

    async fn end(self) -> Result<()> {
        self.set_requests.stop_and_verify().await?;
        for name in &self.drifting {
            let count = self.shop.get(&format!("replicacount/deployment.{name}")).await?;
            let drifts = count["status"]["drifts"].as_i64().context("no drifts")?;
            // The server does not report a drift if the API server stores the late correction of a leader that has lost
            // its Lease.
            ensure!(drifts <= self.drifts, "{name}: {drifts} drifts, and {} were made", self.drifts);
        }
        wait::until("both servers, and no other process of theirs", PATIENCE, async || {
            let now = processes(self.cluster).await?;
            ensure!(now == self.processes, "before: {:?}, now: {now:?}", self.processes);
            Ok(())
        })
        .await
    }
}

/// The process ids of the ready server pods.
async fn processes(cluster: &TestCluster) -> Result<BTreeMap<String, u32>> {
    let servers = cluster.servers_in(release::NAME).await?;
    servers.into_iter().map(|server| Ok((server.pod, server.process.pid()?))).collect()
}

#[tokio::test]
async fn restarts_of_the_api_server_and_etcd_lose_no_set_and_leave_no_drift() -> Result<()> {
    let cluster = start(Options { fsync: true, ..Options::default() }).await?;
    let shop = Namespace::new(&cluster, "restarted").await?;
    let mut trial = Trial::new(&cluster, &shop).await?;
    for component in [Component::ApiServer, Component::Etcd] {
        let component = cluster.control_plane.component(component);
        trial.break_during_drift(async || component.stop().await).await?;
        component.start().await?;
        trial.wait_for_recovery().await?;
    }
    trial.end().await
}

#[tokio::test]
#[ignore = "it takes a minute and a half: make stress"]
async fn a_hanging_api_server_loses_no_set_and_leaves_no_drift() -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "hanging").await?;
    let mut trial = Trial::new(&cluster, &shop).await?;
    let api_server = cluster.control_plane.component(Component::ApiServer);
    let (leader, standby) = leader_and_standby(&cluster).await?;
    let get = v1::GetReplicaCountRequest { target: target(&shop, "drifting-0"), ..Default::default() };
    let mut readers = [client_of(&cluster, &leader)?, client_of(&cluster, &standby)?];
    for reader in &mut readers {
        // The server keeps the answers of authorization for a moment, so these users can still read.
        reader.get_replica_count(get.clone()).await?;
    }
    trial.break_during_drift(async || api_server.pause()).await?;
    let hung = Instant::now();
    while hung.elapsed() < HANG {
        let mut scale = cluster.kubectl();
        scale.args(["scale", "deployment/drifting-0", "--replicas=8", "--request-timeout=1s"]);
        ensure!(!scale.args(["--namespace", &shop.name]).output().await?.status.success(), "it does not hang");
        for reader in &mut readers {
            reader.get_replica_count(get.clone()).await?;
        }
    }
    api_server.resume()?;
    trial.wait_for_recovery().await?;
    trial.end().await
}
