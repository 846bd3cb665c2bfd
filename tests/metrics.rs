//! The metrics of a running server: they describe its work, and their number is bounded.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{GetServerInfoRequest, WatchReplicaCountsRequest};
use serde_json::json;

use support::{Namespace, PATIENCE, TestCluster, shared_cluster};

/// The value of a series by its name and labels, or 0 if it is missing.
async fn value(cluster: &TestCluster, series: &str) -> Result<f64> {
    let metrics = cluster.http("/metrics").await?.1;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value.map_or(Ok(0.0), str::parse)?)
}

/// Waits until a series is greater than a value.
async fn wait_for_more_than(cluster: &TestCluster, series: &str, before: f64) -> Result<()> {
    wait::until(&format!("{series} above {before}"), PATIENCE, async || {
        let now = value(cluster, series).await?;
        ensure!(now > before, "it is {now}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn drifts_are_counted_by_kind_of_actor() -> Result<()> {
    let shop = Namespace::shared("counted").await?;
    let series = [
        r#"replica_count_manager_drifts_total{actor="kubectl"}"#,
        r#"replica_count_manager_drifts_total{actor="gitops"}"#,
        "replica_count_manager_correction_seconds_count",
    ];
    let mut before = Vec::new();
    for series in series {
        before.push(value(shop.cluster, series).await?);
    }
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    // Three drifts of one program make the target contested.
    for drifts in 2..5 {
        let patch = format!("--patch={{\"spec\":{{\"replicas\":{}}}}}", 6 + drifts);
        shop.kubectl(&["patch", "deployment/web", "--field-manager=argocd-controller", &patch]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    wait_for_more_than(shop.cluster, "replica_count_manager_contested_targets", 0.0).await?;
    for (series, before) in series.iter().zip(before) {
        wait_for_more_than(shop.cluster, series, before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn calls_are_counted_by_code_and_open_watches_are_counted() -> Result<()> {
    let cluster = shared_cluster().await?;
    let call = |method: &str, code: &str| {
        let service = r#"grpc_type="unary",grpc_service="proto.DeploymentsService""#;
        format!(r#"grpc_server_handled_total{{{service},grpc_method="{method}",grpc_code="{code}"}}"#)
    };
    let [ok, invalid] = [call("ListDeployments", "OK"), call("GetDeployment", "InvalidArgument")];
    let [ok_before, invalid_before] = [value(cluster, &ok).await?, value(cluster, &invalid).await?];
    cluster.grpcurl("proto.DeploymentsService/ListDeployments", &json!({})).await?;
    let refusal = cluster.grpcurl("proto.DeploymentsService/GetDeployment", &json!({})).await;
    refusal.err().context("there is no such name")?;
    wait_for_more_than(cluster, &ok, ok_before).await?;
    wait_for_more_than(cluster, &invalid, invalid_before).await?;

    let service = r#"grpc_type="server_stream",grpc_service="replicas.v1.ReplicasService""#;
    let ended =
        format!(r#"grpc_server_handled_total{{{service},grpc_method="WatchReplicaCounts",grpc_code="Canceled"}}"#);
    let before = value(cluster, &ended).await?;
    let mut events = cluster.client()?.watch_replica_counts(WatchReplicaCountsRequest::default()).await?.into_inner();
    events.message().await?;
    wait_for_more_than(cluster, "replica_count_manager_open_watches", 0.0).await?;
    drop(events);
    wait_for_more_than(cluster, &ended, before).await
}

#[tokio::test]
async fn api_server_requests_watches_and_the_process_have_metrics() -> Result<()> {
    let cluster = shared_cluster().await?;
    // It keeps one connection open.
    let mut client = cluster.client()?;
    client.get_server_info(GetServerInfoRequest {}).await?;
    for series in [
        r#"replica_count_manager_apiserver_requests_total{verb="watch",code="200"}"#,
        r#"replica_count_manager_apiserver_request_duration_seconds_count{verb="list"}"#,
        r#"replica_count_manager_watch_lists_total{watch="ReplicaCount"}"#,
        r#"replica_count_manager_watch_lists_total{watch="Deployment.apps"}"#,
        "replica_count_manager_open_connections",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        wait_for_more_than(cluster, series, 0.0).await.with_context(|| series.to_owned())?;
    }
    drop(client);
    Ok(())
}

#[tokio::test]
async fn labels_never_carry_names_from_callers() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::shared("made-up").await?;
    shop.deployment("unheard-of", 1).await?;
    shop.set("unheard-of", 2).await?;
    let mut grpc = tonic::client::Grpc::new(cluster.channel()?);
    grpc.ready().await?;
    let path = "/made.Up/Method".parse()?;
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let refusal = grpc.unary(tonic::Request::new(()), path, codec).await.err().context("should be refused")?;
    assert_eq!(refusal.code(), tonic::Code::Unimplemented);
    let unknown = r#"grpc_type="unary",grpc_service="unknown",grpc_method="unknown",grpc_code="Unimplemented""#;
    wait_for_more_than(cluster, &format!("grpc_server_handled_total{{{unknown}}}"), 0.0).await?;
    let metrics = cluster.http("/metrics").await?.1;
    for word in ["made.Up", "unheard-of", &shop.name] {
        assert!(!metrics.contains(word), "{word} is in {metrics}");
    }
    Ok(())
}
