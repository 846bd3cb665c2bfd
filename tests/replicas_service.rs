//! `replicas.v1.ReplicasService`: pages of lists, watches, reads after writes, and Unset.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{
    self, replicas_service_client::ReplicasServiceClient, watch_replica_counts_response::Event,
};
use serde_json::json;
use tokio::time::timeout;
use tonic::{Code, Streaming, transport::Channel};
use tonic_reflection::pb::v1alpha::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt;

use support::{Namespace, PATIENCE};

type Client = ReplicasServiceClient<Channel>;

fn target(shop: &Namespace<'_>, name: &str) -> Option<v1::Target> {
    Some(v1::Target { namespace: shop.name.clone(), name: name.into(), ..Default::default() })
}

async fn set(
    client: &mut Client,
    shop: &Namespace<'_>,
    name: &str,
    replicas: i32,
) -> Result<v1::SetReplicaCountResponse> {
    let request =
        v1::SetReplicaCountRequest { target: target(shop, name), replicas: Some(replicas), ..Default::default() };
    Ok(client.set_replica_count(request).await?.into_inner())
}

fn names(counts: &[v1::ReplicaCount]) -> Vec<&str> {
    counts.iter().filter_map(|count| count.target.as_ref()).map(|target| target.name.as_str()).collect()
}

#[tokio::test]
async fn a_list_returns_the_selected_counts_in_pages() -> Result<()> {
    let shop = Namespace::shared("pages").await?;
    let mut client = shop.cluster.client()?;
    for name in ["a", "b", "c", "d"] {
        shop.deployment(name, 1).await?;
    }
    let mut version = String::new();
    for name in ["a", "b", "c"] {
        version = set(&mut client, &shop, name, 1).await?.replica_count.context("no count")?.resource_version;
    }
    let request = v1::ListReplicaCountsRequest {
        namespace: shop.name.clone(),
        page_size: 2,
        min_resource_version: version,
        ..Default::default()
    };
    let first = client.list_replica_counts(request.clone()).await?.into_inner();
    assert_eq!(names(&first.replica_counts), ["a", "b"]);
    let next = v1::ListReplicaCountsRequest { page_token: first.next_page_token, ..request.clone() };
    let second = client.list_replica_counts(next).await?.into_inner();
    assert_eq!((names(&second.replica_counts), second.next_page_token.as_str()), (vec!["c"], ""));

    let selected = v1::ListReplicaCountsRequest { label_selector: "app notin (a, c)".into(), ..request.clone() };
    assert_eq!(names(&client.list_replica_counts(selected).await?.into_inner().replica_counts), ["b"]);

    shop.wait_until_unmanaged("d").await?;
    let all = v1::ListReplicaCountsRequest { all_targets: true, page_size: 0, ..request };
    let all = client.list_replica_counts(all).await?.into_inner().replica_counts;
    assert_eq!(names(&all), ["a", "b", "c", "d"]);
    assert_eq!((all[2].desired, all[3].desired, all[3].observed), (Some(1), None, Some(1)));
    Ok(())
}

#[tokio::test]
async fn a_get_returns_the_last_write() -> Result<()> {
    let shop = Namespace::shared("own").await?;
    shop.deployment("web", 1).await?;
    let mut client = shop.cluster.client()?;
    let mut old = None;
    for replicas in [5, 2, 7, 0, 3] {
        let stored = set(&mut client, &shop, "web", replicas).await?;
        assert_eq!(stored.old_desired, old, "the count before is exact");
        old = Some(replicas);
        let min_resource_version = stored.replica_count.context("no count")?.resource_version;
        let request = v1::GetReplicaCountRequest { target: target(&shop, "web"), min_resource_version };
        let read = client.get_replica_count(request).await?.into_inner().replica_count.context("no count")?;
        assert_eq!((read.desired, read.original_replicas, read.set_by.as_str()), (Some(replicas), Some(1), "admin"));
    }
    let never = v1::GetReplicaCountRequest { target: target(&shop, "web"), min_resource_version: u64::MAX.to_string() };
    let refusal = client.get_replica_count(never).await.err().context("should wait in vain")?;
    assert_eq!(refusal.code(), Code::Unavailable, "{refusal}");
    Ok(())
}

#[tokio::test]
async fn each_of_several_concurrent_sets_returns_its_predecessor() -> Result<()> {
    let shop = Namespace::shared("contended").await?;
    shop.deployment("web", 1).await?;
    let mut client = shop.cluster.client()?;
    set(&mut client, &shop, "web", 100).await?;
    let mut sets = tokio::task::JoinSet::new();
    for replicas in 1..=6 {
        let mut client = client.clone();
        let target = target(&shop, "web");
        let request = v1::SetReplicaCountRequest { target, replicas: Some(replicas), ..Default::default() };
        sets.spawn(
            async move { client.set_replica_count(request).await.map(|answer| (replicas, answer.into_inner())) },
        );
    }
    let mut old: Vec<_> = Vec::new();
    while let Some(done) = sets.join_next().await {
        old.push(done??.1.old_desired.context("no count before")?);
    }
    let last = shop.get("replicacount/deployment.web").await?["spec"]["replicas"].as_i64().context("no count")?;
    old.push(i32::try_from(last)?);
    old.sort_unstable();
    // Exactly one other Set replaced each count except the last.
    assert_eq!(old, [1, 2, 3, 4, 5, 6, 100]);
    Ok(())
}

async fn next(events: &mut Streaming<v1::WatchReplicaCountsResponse>) -> Result<Event> {
    let event = timeout(PATIENCE, events.message()).await.context("no event")??;
    event.and_then(|response| response.event).context("the watch ended")
}

/// Reads changes until one passes a check.
async fn until_changed(
    events: &mut Streaming<v1::WatchReplicaCountsResponse>,
    check: impl Fn(&v1::ReplicaCount) -> bool,
) -> Result<()> {
    loop {
        if let Event::Changed(count) = next(events).await?
            && check(&count)
        {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_watch_sends_a_snapshot_and_then_every_change() -> Result<()> {
    let shop = Namespace::shared("watched").await?;
    shop.deployment("web", 2).await?;
    let mut client = shop.cluster.client()?;
    let stored = set(&mut client, &shop, "web", 3).await?.replica_count.context("no count")?;
    let request = v1::WatchReplicaCountsRequest {
        namespace: shop.name.clone(),
        min_resource_version: stored.resource_version,
        ..Default::default()
    };
    let mut events = client.watch_replica_counts(request).await?.into_inner();
    assert!(matches!(next(&mut events).await?, Event::Changed(count) if count.desired == Some(3)));
    assert!(matches!(next(&mut events).await?, Event::Synced(_)));
    until_changed(&mut events, |count| count.ready == Some(3)).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    until_changed(&mut events, |count| count.drifts == 1 && count.observed == Some(3)).await?;
    set(&mut client, &shop, "web", 4).await?;
    until_changed(&mut events, |count| count.desired == Some(4)).await?;
    shop.kubectl(&["delete", "replicacount/deployment.web"]).await?;
    loop {
        if let Event::Removed(target) = next(&mut events).await? {
            assert_eq!(target.name, "web");
            return Ok(());
        }
    }
}

#[tokio::test]
async fn unset_keeps_the_count_or_restores_the_original() -> Result<()> {
    let shop = Namespace::shared("unset").await?;
    let mut client = shop.cluster.client()?;
    for (name, restore) in [("stays", false), ("returns", true)] {
        let left = if restore { 2 } else { 5 };
        shop.deployment(name, 2).await?;
        set(&mut client, &shop, name, 5).await?;
        shop.wait_for_replicas(&format!("deployment/{name}"), 5).await?;
        let request = v1::UnsetReplicaCountRequest { target: target(&shop, name), restore, ..Default::default() };
        let trial = v1::UnsetReplicaCountRequest { dry_run: true, ..request.clone() };
        client.unset_replica_count(trial).await?;
        let unset = client.unset_replica_count(request.clone()).await?.into_inner();
        assert_eq!(unset.restored, restore.then_some(2));
        let min_resource_version = unset.resource_version;
        let get = v1::GetReplicaCountRequest { target: target(&shop, name), min_resource_version };
        assert_eq!(client.get_replica_count(get).await.err().map(|refusal| refusal.code()), Some(Code::NotFound));
        assert_eq!(shop.replicas(&format!("deployment/{name}")).await?, left);
        let again = client.unset_replica_count(request).await.err().context("should be refused")?;
        assert_eq!(again.code(), Code::NotFound, "{again}");
    }
    Ok(())
}

#[tokio::test]
async fn a_write_is_refused_if_others_have_changed_what_was_read() -> Result<()> {
    let shop = Namespace::shared("versions-read").await?;
    shop.deployment("web", 2).await?;
    let mut client = shop.cluster.client()?;
    let request = |version: &str| v1::SetReplicaCountRequest {
        target: target(&shop, "web"),
        replicas: Some(3),
        expected_resource_version: Some(version.to_owned()),
        ..Default::default()
    };
    let unset = |version: &str| v1::UnsetReplicaCountRequest {
        target: target(&shop, "web"),
        expected_resource_version: Some(version.to_owned()),
        ..Default::default()
    };
    let missing = client.set_replica_count(request("7")).await.err().context("it is not managed")?;
    assert_eq!(missing.code(), Code::FailedPrecondition, "{missing}");
    let first = client.set_replica_count(request("")).await?.into_inner();
    assert_eq!((first.unchanged, first.old_desired), (false, None));
    let managed = client.set_replica_count(request("")).await.err().context("it is managed")?;
    assert_eq!(managed.code(), Code::FailedPrecondition, "{managed}");
    let read = first.replica_count.context("no count")?.resource_version;

    // Others change the spec, which the server's index may learn only later.
    shop.kubectl(&["patch", "replicacount/deployment.web", "--type=merge", r#"--patch={"spec": {"replicas": 4}}"#])
        .await?;
    for refusal in
        [client.set_replica_count(request(&read)).await.err(), client.unset_replica_count(unset(&read)).await.err()]
    {
        let refusal = refusal.context("it was changed")?;
        let info = refusal.get_details_error_info().context("no reason")?;
        assert_eq!(
            (refusal.code(), info.reason.as_str()),
            (Code::FailedPrecondition, "UNEXPECTED_VERSION"),
            "{refusal}"
        );
    }
    assert_eq!(shop.get("replicacount/deployment.web").await?["spec"]["replicas"], 4);
    let set = v1::SetReplicaCountRequest { original_replicas: Some(1), ..request("") };
    let set = v1::SetReplicaCountRequest { expected_resource_version: None, ..set };
    let stored = client.set_replica_count(set.clone()).await?.into_inner();
    assert_eq!(stored.replica_count.context("no count")?.original_replicas, Some(1));
    ensure!(client.set_replica_count(set).await?.into_inner().unchanged, "the same Set again changes nothing");
    // The status changes by itself for a moment.
    wait::until("an Unset of what was read", PATIENCE, async || {
        let get = v1::GetReplicaCountRequest { target: target(&shop, "web"), ..Default::default() };
        let read = client.clone().get_replica_count(get).await?.into_inner().replica_count.context("no count")?;
        Ok(client.clone().unset_replica_count(unset(&read.resource_version)).await?)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_current_holds_the_observed_count() -> Result<()> {
    let shop = Namespace::shared("current").await?;
    shop.deployment("web", 4).await?;
    let mut client = shop.cluster.client()?;
    let request = v1::SetReplicaCountRequest { target: target(&shop, "web"), current: true, ..Default::default() };
    let trial = v1::SetReplicaCountRequest { dry_run: true, ..request.clone() };
    let answer = client.set_replica_count(trial).await?.into_inner();
    assert_eq!(answer.replica_count.and_then(|count| count.desired), Some(4));
    assert_eq!(shop.kubectl(&["get", "replicacounts", "--output=name"]).await?, "");
    let expecting = v1::SetReplicaCountRequest { expected_replicas: Some(4), ..request };
    let answer = client.set_replica_count(expecting).await?.into_inner();
    assert_eq!(answer.replica_count.and_then(|count| count.desired), Some(4));
    Ok(())
}

#[tokio::test]
async fn server_info_names_the_server_and_the_caller() -> Result<()> {
    let shop = Namespace::shared("info").await?;
    let info = shop.cluster.client()?.get_server_info(v1::GetServerInfoRequest {}).await?.into_inner();
    assert_eq!((info.version.as_str(), info.max_replicas), (env!("CARGO_PKG_VERSION"), 10_000));
    let groups: Vec<_> = info.groups.iter().map(String::as_str).collect();
    assert_eq!((info.user.as_str(), groups), ("admin", vec!["replica-count-manager:admins", "system:authenticated"]));
    // Other tests may have added more kinds.
    let kinds: Vec<_> = info.kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert!(kinds.contains(&"Deployment") && kinds.contains(&"StatefulSet"), "{kinds:?}");
    let health = shop.cluster.grpcurl("grpc.health.v1.Health/Check", &json!({})).await?;
    assert_eq!(health["status"], "SERVING");
    Ok(())
}

#[tokio::test]
async fn both_versions_of_reflection_are_served() -> Result<()> {
    let shop = Namespace::shared("reflection").await?;
    let request = json!({"listServices": "*"});
    let method = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let services = shop.cluster.grpcurl(method, &request).await?.to_string();
    for service in ["proto.DeploymentsService", "replicas.v1.ReplicasService", "grpc.health.v1.Health"] {
        assert!(services.contains(service), "{services}");
    }
    // grpcurl prefers v1, so call the older version with its own client.
    let mut old = ServerReflectionClient::new(shop.cluster.channel()?);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = old.server_reflection_info(tokio_stream::once(request)).await?.into_inner().message().await?;
    assert!(format!("{answer:?}").contains("proto.DeploymentsService"), "{answer:?}");
    Ok(())
}
