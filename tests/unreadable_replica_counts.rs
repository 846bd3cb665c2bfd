//! ReplicaCounts that the API server has stored and that the server cannot read, as after an upgrade from a CRD with a
//! looser schema: each is named once in the log, and the others are enforced.

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, TestCluster, manifests::ReplicaCountManifest, release};

/// The ReplicaCounts of the Deployments `odd-0`, `odd-1` and so on, each unreadable in another way.
fn odd() -> Vec<Value> {
    let until = |until: Value| json!({"replicas": 3, "override": {"replicas": 4, "until": until}});
    let specs = [
        until(json!("2030-01-01T00:00:00")),
        until(json!("9999-12-31T23:59:59Z")),
        until(json!(1)),
        json!({"replicas": "three"}),
        json!({"replicas": 99_999_999_999_i64}),
        json!({"replicas": 1e300}),
        json!({}),
        json!({"replicas": 3, "originalReplicas": [1]}),
        json!({"replicas": 3, "reason": (0..150).fold(json!(1), |inner, _| json!({"x": inner}))}),
        json!({"replicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": 1, "name": "odd-9"}}),
    ];
    let count = |(number, mut spec): (usize, Value)| {
        let target = format!("odd-{number}");
        if spec["scaleTargetRef"].is_null() {
            spec["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": target});
        }
        json!({"apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
               "metadata": {"name": format!("deployment.{target}")}, "spec": spec})
    };
    specs.into_iter().enumerate().map(count).collect()
}

/// Waits until the metric of unreadable ReplicaCounts has this value.
async fn wait_for_unreadable(cluster: &TestCluster, number: usize) -> Result<()> {
    let server = cluster.server().await?;
    let line = format!(r#"replica_count_manager_unreadable_objects{{kind="ReplicaCount"}} {number}"#);
    wait::until(&format!("{number} unreadable ReplicaCounts"), PATIENCE, async || {
        let (_, metrics) = support::http(&server.process.address("http")?.to_string(), "/metrics").await?;
        let now = metrics.lines().find(|line| line.contains("unreadable_objects{kind=\"ReplicaCount\"}"));
        ensure!(now == Some(&*line), "{now:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_that_starts_with_unreadable_replica_counts_enforces_the_others() -> Result<()> {
    let cluster = TestCluster::without_server(Options::default()).await?;
    let shop = Namespace::new(&cluster, "loose").await?;
    let definition = std::fs::read_to_string(format!("{}/files/crd.yaml", release::CHART))?;
    let mut loose: Value = serde_yaml::from_str(&definition)?;
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    loose["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    shop.kubectl_with(&["create", "--filename=-"], &loose.to_string()).await?;
    let established = ["--for=condition=Established", "--timeout=1m", "crd/replicacounts.replica-count-manager.io"];
    shop.kubectl(&[&["wait"][..], &established].concat()).await?;
    shop.deployment("web", 1).await?;
    let web = ReplicaCountManifest::deployment("web").replicas(3).manifest();
    shop.kubectl_with(&["create", "--filename=-"], &web).await?;
    let (odd, list) =
        (odd(), |items: &[Value]| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    shop.kubectl_with(&["create", "--filename=-"], &list(&odd)).await?;
    cluster.replace(&definition).await?;

    release::install(
        &cluster.control_plane,
        cluster.certificates(),
        &["--set=replicaCount=1", "--set=crds.enabled=false"],
    )
    .await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    wait_for_unreadable(&cluster, odd.len()).await?;
    let server = cluster.server().await?;
    let log = cluster.log(release::NAME, &server.pod)?;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("object cannot be read and is left alone")).collect();
    for count in &odd {
        let name = count["metadata"]["name"].as_str().context("no name")?;
        let named = lines.iter().filter(|line| line.contains(name)).count();
        ensure!(named == 1, "{name} is in {named} lines: {lines:#?}");
    }
    ensure!(lines.len() == odd.len(), "{lines:#?}");
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;

    for (deleted, count) in odd.iter().enumerate() {
        let name = count["metadata"]["name"].as_str().context("no name")?;
        run(cluster.kubectl().args(["delete", "replicacount", name, "--namespace", &shop.name])).await?;
        wait_for_unreadable(&cluster, odd.len() - deleted - 1).await?;
    }
    Ok(())
}
