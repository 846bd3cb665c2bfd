//! What calls cost others: none delays corrections, and none tells its caller more than RBAC allows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use support::{Namespace, PATIENCE, manifests::names};

/// Upper bound on a correction beside expensive calls, with a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(2);

/// The calls that are made at once.
const CALLS: usize = 8;

/// The labels of each Deployment: as many as an object may have, in a megabyte.
const LABELS: usize = 8000;

/// Deployments with so many labels each.
fn deployments(prefix: &str, labels: usize) -> String {
    let items: Vec<_> = names(prefix, 10).iter().map(|name| deployment(name, labels)).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn deployment(name: &str, labels: usize) -> Value {
    let labels: serde_json::Map<_, _> = (0..labels).map(|number| (format!("label-{number}"), json!("x"))).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    })
}

fn list(shop: &Namespace<'_>, label_selector: &str) -> v1::ListReplicaCountsRequest {
    v1::ListReplicaCountsRequest {
        namespace: shop.name.clone(),
        label_selector: label_selector.to_owned(),
        all_targets: true,
        ..Default::default()
    }
}

/// Makes a call again and again. It ends with the error of a call that neither succeeds nor is refused as invalid.
async fn keep_listing(channel: Channel, request: v1::ListReplicaCountsRequest) -> Status {
    let mut client = ReplicasServiceClient::new(channel);
    loop {
        match client.list_replica_counts(request.clone()).await {
            Ok(_) => {}
            Err(status) if status.code() == Code::InvalidArgument => {}
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn lists_of_huge_labels_and_selectors_delay_no_correction() -> Result<()> {
    let shop = Namespace::shared("costs").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    let create = ["create", "--filename=-"];
    shop.kubectl_with(&create, &deployments("huge", LABELS)).await?;
    // As many labels as the index keeps, so that they are searched.
    shop.kubectl_with(&create, &deployments("large", 300)).await?;
    let mut client = shop.cluster.client()?;
    wait::until("all targets in the index", PATIENCE, async || {
        let all = client.clone().list_replica_counts(list(&shop, "")).await?.into_inner();
        ensure!(all.replica_counts.len() == 21, "{}", all.replica_counts.len());
        Ok(())
    })
    .await?;
    // 63 KiB, below the limit of a request.
    let huge = vec!["!absent"; 8000].join(",");
    let refusal = client.list_replica_counts(list(&shop, &huge)).await.err().context("the selector was taken")?;
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    assert!(refusal.message().contains("label_selector is 63999 bytes long: the most is 4096"), "{refusal}");
    // The most expensive selector that is accepted: every requirement searches all labels.
    let costly = vec!["!absent"; 32].join(",");
    let selected = client.list_replica_counts(list(&shop, &costly)).await?.into_inner().replica_counts;
    assert_eq!(selected.len(), 11, "a target with too many labels is not selected by them");

    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let request = list(&shop, if call % 2 == 0 { &huge } else { &costly });
        calls.spawn(keep_listing(shop.cluster.channel()?, request));
    }
    for _ in 0..3 {
        shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
        let drifted = Instant::now();
        shop.wait_for_replicas("deployment/web", 3).await?;
        let corrected = drifted.elapsed();
        ensure!(corrected < SOON, "the drift was corrected after {corrected:?}");
    }
    ensure!(calls.try_join_next().is_none(), "a call failed");
    Ok(())
}

#[tokio::test]
async fn a_get_tells_only_those_who_may_list_targets_whether_one_exists() -> Result<()> {
    let shop = Namespace::shared("unlisted").await?;
    shop.deployment("web", 1).await?;
    shop.wait_until_unmanaged("web").await?;
    let user = format!("user-{}", shop.name);
    let subject = format!("--user={user}");
    let bind = async |name: &str, role: &str| {
        let role = format!("--clusterrole={role}");
        shop.kubectl(&["create", "rolebinding", name, &role, &subject]).await
    };
    bind("viewer", "replica-count-manager-viewer").await?;
    let client = ReplicasServiceClient::new(shop.cluster.channel_of(&user).await?);
    let refusal = async |name: &str| -> Result<String> {
        let target = Some(v1::Target { namespace: shop.name.clone(), name: name.into(), ..Default::default() });
        let request = v1::GetReplicaCountRequest { target, ..Default::default() };
        let refusal = client.clone().get_replica_count(request).await.err().context("there is a ReplicaCount")?;
        ensure!(refusal.code() == Code::NotFound, "{refusal}");
        Ok(refusal.message().replace(name, "NAME"))
    };
    let of_missing = wait::until("the right to get", PATIENCE, async || refusal("missing").await).await?;
    assert_eq!(refusal("web").await?, of_missing);
    assert!(of_missing.contains("is not managed: it has no ReplicaCount"), "{of_missing}");
    bind("view", "view").await?;
    wait::until("the right to list", PATIENCE, async || {
        let missing = refusal("missing").await?;
        ensure!(missing.contains("does not exist"), "{missing}");
        Ok(())
    })
    .await?;
    assert_eq!(refusal("web").await?, of_missing);
    Ok(())
}
