//! Start and stop: probes, metrics, and a drain that clients do not notice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use tonic::Code;

use support::{
    CERTIFICATE_FILES, Certificate, Namespace, PATIENCE, TestCluster, connect, release, server_flags, shared_cluster,
};

#[tokio::test]
async fn probes_and_metrics_are_served_over_plain_http() -> Result<()> {
    let cluster = shared_cluster().await?;
    assert_eq!(cluster.http("/livez").await?, (200, "ok\n".to_owned()));
    assert_eq!(cluster.http("/readyz").await?, (200, "ok\n".to_owned()));
    assert_eq!(cluster.http("/").await?.0, 404);
    let (status, metrics) = cluster.http("/metrics").await?;
    assert_eq!(status, 200);
    for line in [
        "replica_count_manager_build_info{version=",
        "# TYPE replica_count_manager_drifts counter",
        "# TYPE replica_count_manager_correction_seconds histogram",
        "replica_count_manager_certificate_expiry_timestamp_seconds ",
    ] {
        assert!(metrics.contains(line), "{line:?} is missing in {metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stopping_server_becomes_unready_drains_and_exits() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "stopping").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    let mut client = cluster.client()?;
    let mut events = client.watch_replica_counts(v1::WatchReplicaCountsRequest::default()).await?.into_inner();
    let server = cluster.server().await?;
    let delete = ["delete", "pod", &server.pod, "--wait=false", "--namespace", release::NAME];
    run(cluster.kubectl().args(delete)).await?;
    wait::until("the server unready", PATIENCE, async || {
        let answer = cluster.http("/readyz").await?;
        ensure!(answer == (503, "stopping\n".to_owned()), "{answer:?}");
        Ok(())
    })
    .await?;
    // The server still serves its open connections, and puts their Sets in place.
    let target = Some(v1::Target { namespace: shop.name.clone(), name: "web".into(), ..Default::default() });
    let request = v1::SetReplicaCountRequest { target, replicas: Some(4), ..Default::default() };
    client.set_replica_count(request).await?;
    shop.wait_for_replicas("deployment/web", 4).await?;
    let end = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(end) = events.message().await {
                return end;
            }
        }
    });
    assert_eq!(end.await.context("the watch goes on")?.code(), Code::Unavailable);
    let log = wait::until("the server's end", Duration::from_secs(30), async || {
        let log = std::fs::read_to_string(server.process.log().context("no log")?)?;
        ensure!(log.contains("stopped"), "{log}");
        Ok(log)
    })
    .await?;
    assert!(!log.contains("cut off"), "{log}");
    let successor = cluster.server().await?;
    assert_ne!(successor.pod, server.pod);
    Ok(())
}

#[tokio::test]
async fn a_server_of_one_namespace_ignores_other_namespaces() -> Result<()> {
    let cluster = shared_cluster().await?;
    let (own, other) = (Namespace::shared("own").await?, Namespace::shared("foreign").await?);
    let server = cluster.standalone(server_flags(&own, cluster.certificates(), CERTIFICATE_FILES))?;
    let channel = connect(server.grpc.clone(), &Certificate::load(cluster.certificates())?)?;
    let mut client = ReplicasServiceClient::new(channel);
    let info = wait::until("the server", PATIENCE, async || {
        Ok(client.clone().get_server_info(v1::GetServerInfoRequest {}).await?.into_inner())
    })
    .await?;
    assert_eq!(info.namespace, own.name);
    own.deployment("web", 1).await?;
    let set = async |client: &mut ReplicasServiceClient<_>, namespace: &Namespace<'_>| {
        let target = Some(v1::Target { namespace: namespace.name.clone(), name: "web".into(), ..Default::default() });
        client.set_replica_count(v1::SetReplicaCountRequest { target, replicas: Some(2), ..Default::default() }).await
    };
    wait::until("the first Set", PATIENCE, async || Ok(set(&mut client.clone(), &own).await?)).await?;
    own.wait_for_replicas("deployment/web", 2).await?;
    let refusal = set(&mut client, &other).await.err().context("should be refused")?;
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    let all = client.list_replica_counts(v1::ListReplicaCountsRequest::default()).await?.into_inner().replica_counts;
    let namespaces: Vec<_> =
        all.iter().filter_map(|count| count.target.as_ref()).map(|target| &target.namespace).collect();
    assert_eq!(namespaces, [&own.name]);
    Ok(())
}
