//! A server with two replicas, one of which leads.

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::Value;
use tonic::transport::Channel;

use crate::{
    channel::{Certificate, connect},
    constants::PATIENCE,
    manifests::{ReplicaCountManifest, Workload},
    metrics::{http, metric},
    namespace::Namespace,
    release,
    test_cluster::{Server, TestCluster},
};

/// Starts a cluster for one test, with two replicas of the server.
pub async fn start(options: Options) -> Result<TestCluster> {
    TestCluster::start_with(options, &["--set=replicaCount=2"]).await
}

/// Whether the metric of a replica says that it is the leader.
pub async fn is_leader(server: &Server) -> Result<bool> {
    let metrics = http(&server.process.address("http")?.to_string(), "/metrics").await?.1;
    Ok(metric(&metrics, "leader")? == 1)
}

/// Waits for a leader, and returns the replica that holds the Lease and the other replica.
pub async fn leader_and_standby(cluster: &TestCluster) -> Result<(Server, Server)> {
    wait::until("a leader and another", PATIENCE, async || {
        let get = ["get", "lease", release::NAME, "--namespace", release::NAME, "--output=json"];
        let lease: Value = serde_json::from_str(&run(cluster.kubectl().args(get)).await?)?;
        let holder = lease["spec"]["holderIdentity"].as_str().context("the Lease has no holder")?.to_owned();
        let mut servers = cluster.servers_in(release::NAME).await?;
        let leading = servers.iter().position(|server| holder.starts_with(&server.pod));
        let leader = servers.remove(leading.with_context(|| format!("{holder} is not ready"))?);
        let [standby] = <[Server; 1]>::try_from(servers).ok().context("there are not two")?;
        ensure!(is_leader(&leader).await? && !is_leader(&standby).await?, "the metrics do not tell yet");
        Ok((leader, standby))
    })
    .await
}

/// A client of one replica.
pub fn client_of(cluster: &TestCluster, server: &Server) -> Result<ReplicasServiceClient<Channel>> {
    let address = server.process.address("grpc")?.to_string();
    Ok(ReplicasServiceClient::new(connect(address, &Certificate::load(cluster.certificates())?)?))
}

/// A Deployment in the form that requests name it.
pub fn target(shop: &Namespace<'_>, name: &str) -> Option<v1::Target> {
    Some(v1::Target { namespace: shop.name.clone(), name: name.to_owned(), ..Default::default() })
}

/// Creates Deployments that are managed at one replica, and waits until the server has observed them.
pub async fn create_managed(shop: &Namespace<'_>, names: &[String]) -> Result<()> {
    shop.create_all(names, |name| Workload::deployment(name).replicas(1).without_pods().manifest()).await?;
    shop.create_all(names, |name| ReplicaCountManifest::deployment(name).manifest()).await?;
    for name in names {
        let name = format!("deployment.{name}");
        shop.wait_for_replica_count(&name, "the target in place", |count| count["status"]["observed"] == 1).await?;
    }
    Ok(())
}
