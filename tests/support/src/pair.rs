//! Two servers, of which one leads, and what the tests of them share.

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::Value;
use tonic::transport::Channel;

use super::{
    Certificate, Namespace, PATIENCE, Server, World, connect, http, metric,
    namespace::{replica_count, without_pods},
    release,
};

/// Starts a cluster of a test's own with two servers.
pub async fn start(options: Options) -> Result<World> {
    World::start_with(options, &["--set=replicaCount=2"]).await
}

/// What the metric says: 1 for the leader, 0 for another.
pub async fn leads(server: &Server) -> Result<bool> {
    let metrics = http(&server.process.address("http")?.to_string(), "/metrics").await?.1;
    Ok(metric(&metrics, "leader")? == 1)
}

/// The one of two servers that the Lease names, and the other one.
pub async fn leader_and_standby(world: &World) -> Result<(Server, Server)> {
    wait::until("a leader and another", PATIENCE, async || {
        let get = ["get", "lease", release::NAME, "--namespace", release::NAME, "--output=json"];
        let lease: Value = serde_json::from_str(&run(world.cluster.kubectl().args(get)).await?)?;
        let holder = lease["spec"]["holderIdentity"].as_str().context("nobody holds it")?.to_owned();
        let mut servers = world.servers_in(release::NAME).await?;
        let leading = servers.iter().position(|server| holder.starts_with(&server.pod));
        let leader = servers.remove(leading.with_context(|| format!("{holder} is not ready"))?);
        let [standby] = <[Server; 1]>::try_from(servers).ok().context("there are not two")?;
        ensure!(leads(&leader).await? && !leads(&standby).await?, "the metrics do not tell yet");
        Ok((leader, standby))
    })
    .await
}

/// A client of one of the servers.
pub fn client(world: &World, server: &Server) -> Result<ReplicasServiceClient<Channel>> {
    let address = server.process.address("grpc")?.to_string();
    Ok(ReplicasServiceClient::new(connect(address, &Certificate::load(world.certificates())?)?))
}

/// A Deployment, as calls name it.
pub fn target(shop: &Namespace<'_>, name: &str) -> Option<v1::Target> {
    Some(v1::Target { namespace: shop.name.clone(), name: name.to_owned(), ..Default::default() })
}

/// Creates Deployments that are managed at one replica, and waits until the server knows.
pub async fn managed(shop: &Namespace<'_>, names: &[String]) -> Result<()> {
    shop.create_all(names, |name| without_pods(name, 1)).await?;
    shop.create_all(names, |name| replica_count(name, 1)).await?;
    for name in names {
        let name = format!("deployment.{name}");
        shop.count(&name, "the target in place", |count| count["status"]["observed"] == 1).await?;
    }
    Ok(())
}
