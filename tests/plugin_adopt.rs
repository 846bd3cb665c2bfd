//! `adopt`: everything in a namespace is held at its count, unless something speaks against it.

use anyhow::{Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{
    Namespace, Outcome, PATIENCE,
    application::HelmUpgrade,
    manifests::{ReplicaCountManifest, Workload, names},
    outcome, release, shared_cluster,
};

/// The autoscaler is never active: its metric does not exist.
const AUTOSCALER: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaled-cpu}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: scaled}
  minReplicas: 2
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
";

async fn plugin(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

/// The targets with their counts, and the names of all pods: in the same order each time.
async fn counts(shop: &Namespace<'_>) -> Result<String> {
    let path = "--output=jsonpath={range .items[*]}{.kind}/{.metadata.name}={.spec.replicas} {end}";
    shop.kubectl(&["get", "deployments,statefulsets", path]).await
}

async fn pods(shop: &Namespace<'_>) -> Result<String> {
    shop.kubectl(&["get", "pods", "--output=jsonpath={.items[*].metadata.uid}"]).await
}

/// The names of the ReplicaCounts, in one line.
async fn managed(shop: &Namespace<'_>) -> Result<Vec<String>> {
    let names = shop.kubectl(&["get", "replicacounts", "--output=jsonpath={.items[*].metadata.name}"]).await?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

/// The targets besides the plain Deployments that `adopt` holds.
const OTHERS: usize = 2;

/// The targets that it leaves as they are.
const LEFT: usize = 2;

/// Creates a namespace with plain Deployments and a target of every other sort, and waits until the server knows it.
async fn prepare(plain: usize) -> Result<Namespace<'static>> {
    let shop = Namespace::shared("adopt").await?;
    for (index, name) in names("w", plain).iter().enumerate() {
        shop.deployment(name, i32::try_from(index)? % 3).await?;
    }
    shop.stateful_set("db", 2).await?;
    HelmUpgrade::to(shop.cluster.helm(), "first").replicas(2).run(&shop).await?;
    shop.deployment("scaled", 2).await?;
    shop.kubectl_with(&["create", "--filename=-"], AUTOSCALER).await?;
    shop.deployment("argo", 1).await?;
    let apply = ["apply", "--server-side", "--field-manager=argocd-controller", "--filename=-"];
    shop.kubectl_with(&apply, &ReplicaCountManifest::deployment("argo").replicas(3).manifest()).await?;
    // What an operator creates is controlled by its custom resource, for which a ConfigMap stands here.
    shop.kubectl(&["create", "configmap", "operated"]).await?;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "operated", "controller": true,
        "uid": shop.get("configmap/operated").await?["metadata"]["uid"]}]);
    let owned: Value = serde_yaml::from_str(&Workload::stateful_set("operated").replicas(2).manifest())?;
    let mut owned = owned;
    owned["metadata"]["ownerReferences"] = owner;
    shop.kubectl_with(&["create", "--filename=-"], &owned.to_string()).await?;
    shop.wait_for_replicas("deployment/argo", 3).await?;
    shop.kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "statefulset/db", "statefulset/operated"])
        .await?;
    shop.kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=3", "deployment/argo"]).await?;
    shop.kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "deployment/scaled"]).await?;
    shop.kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=1", "deployment/w-1", "deployment/w-13"]).await?;
    wait::until("the targets and the autoscaler to be known", PATIENCE, async || {
        let preview = plugin(&shop, "adopt --dry-run").await?;
        ensure!(preview.code == Some(0) && preview.stdout.contains("HorizontalPodAutoscaler"), "{preview:?}");
        let (held, all) = (plain + OTHERS, plain + OTHERS + LEFT);
        ensure!(preview.stderr == format!("{held} of {all} targets would be held\n"), "{preview:?}");
        Ok(())
    })
    .await?;
    Ok(shop)
}

#[tokio::test]
async fn a_namespace_is_adopted_as_it_is_and_given_back() -> Result<()> {
    adopt_and_give_back(14).await
}

#[tokio::test]
#[ignore = "it makes 200 targets: make stress"]
async fn a_namespace_of_200_targets_is_adopted_as_it_is_and_given_back() -> Result<()> {
    // The managed one is the 200th.
    adopt_and_give_back(200 - OTHERS - LEFT - 1).await
}

async fn adopt_and_give_back(plain: usize) -> Result<()> {
    let shop = prepare(plain).await?;
    let held_at_last = plain + OTHERS;
    let (before, pods_before) = (counts(&shop).await?, pods(&shop).await?);

    let preview = plugin(&shop, "adopt --dry-run").await?.stdout;
    let row = |name: &str| preview.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let columns = |name: &str| row(name).split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(columns("deployment.apps/web"), ["deployment.apps/web", "2", "2"], "{preview}");
    assert_eq!(columns("deployment.apps/w-0"), ["deployment.apps/w-0", "0", "0"], "{preview}");
    for (name, part) in [
        ("deployment.apps/scaled", "HorizontalPodAutoscaler scaled-cpu scales"),
        ("statefulset.apps/operated", "operated controls statefulset.apps/operated"),
    ] {
        assert_eq!(columns(name), [name, "2", "-"], "{preview}");
        ensure!(row(name).contains(part), "{preview}");
    }
    ensure!(row("deployment.apps/argo").is_empty(), "it is managed: {preview}");
    let unasked = plugin(&shop, "adopt").await?;
    ensure!(
        unasked.code == Some(2) && unasked.stderr.contains(&format!("{held_at_last} targets would be held")),
        "{unasked:?}"
    );
    ensure!(unasked.stdout.is_empty() && unasked.stderr.contains("HELD AT"), "{unasked:?}");
    assert_eq!(managed(&shop).await?, ["deployment.argo"], "nothing is held without an answer");

    let adopted = plugin(&shop, "adopt --yes").await?;
    ensure!(
        adopted.code == Some(0) && adopted.stderr.ends_with(&format!("{held_at_last} targets held\n")),
        "{adopted:?}"
    );
    let held = managed(&shop).await?;
    let is_complete = held.len() == held_at_last + 1;
    ensure!(is_complete && !held.iter().any(|it| it.ends_with("scaled") || it.ends_with("operated")), "{held:?}");
    for name in ["deployment.web", "deployment.w-13", "statefulset.db"] {
        shop.wait_for_replica_count(name, "in place", |count| count["status"]["observed"] == count["spec"]["replicas"])
            .await?;
    }
    assert_eq!((counts(&shop).await?, pods(&shop).await?), (before.clone(), pods_before.clone()));
    let again = plugin(&shop, "adopt --yes").await?;
    ensure!(again.code == Some(0) && again.stderr.ends_with("There is no target to hold.\n"), "{again:?}");

    // What Argo CD keeps stays with it.
    let unset = plugin(&shop, "unset --all --restore --yes").await?;
    ensure!(unset.code == Some(1) && unset.stderr.contains("belongs to argocd-controller"), "{unset:?}");
    ensure!(unset.stderr.ends_with(&format!("error: 1 of {} targets could not be unset\n", held.len())), "{unset:?}");
    assert_eq!(managed(&shop).await?, ["deployment.argo"]);
    assert_eq!((counts(&shop).await?, pods(&shop).await?), (before, pods_before));
    Ok(())
}

#[tokio::test]
async fn the_server_itself_is_left_out_unless_it_is_named() -> Result<()> {
    let cluster = shared_cluster().await?;
    let run = async |line: &str| {
        let mut plugin = cluster.plugin();
        outcome(plugin.args(line.split(' ')).args(["--namespace", release::NAME])).await
    };
    let reason = "it is the server itself";
    let preview = run("adopt --dry-run").await?;
    ensure!(preview.code == Some(0) && preview.stdout.contains(reason), "{preview:?}");
    ensure!(preview.stderr == "0 of 1 targets would be held\n", "{preview:?}");
    for line in ["set --all --current --yes", "set -l app.kubernetes.io/component=server --replicas 1 --yes"] {
        let left = run(line).await?;
        ensure!(left.code == Some(0) && left.stdout.is_empty() && left.stderr.contains(reason), "{line}: {left:?}");
    }
    let named = run(&format!("set {} --current --dry-run", release::NAME)).await?;
    ensure!(named.code == Some(0) && named.stdout.contains("(server dry run)"), "{named:?}");
    Ok(())
}
