//! Neither targets that cannot be corrected nor programs that write without end harm the rest.

use std::{pin::pin, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use cluster::{Options, wait};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use replica_count_manager::resources::ReplicaCount;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use support::{
    HangingWebhook, Namespace, PATIENCE, TestCluster, condition,
    manifests::{ReplicaCountManifest, Workload, names},
    metric,
};

/// How many healthy targets drift. The slowest of them counts.
const HEALTHY: usize = 40;

/// A correction counts as fast within this time, whatever the machine. The deadline of one that hangs is 10 s.
const FAST: Duration = Duration::from_secs(1);

/// The log lines about failures within a minute, and one more for those that were left out.
const LINES: usize = 30 + 1;

/// Concurrent requests of a test.
const REQUESTS: usize = 16;

/// Creates managed Deployments without pods, and waits until the server has observed all of them.
async fn create_managed(namespace: &Namespace<'_>, client: &Client, names: &[String]) -> Result<()> {
    namespace.create_all(names, |name| Workload::deployment(name).replicas(1).without_pods().manifest()).await?;
    namespace.create_all(names, |name| ReplicaCountManifest::deployment(name).manifest()).await?;
    let counts: Api<ReplicaCount> = Api::namespaced(client.clone(), &namespace.name);
    wait::until("all targets in place", 4 * PATIENCE, async || {
        let counts = counts.list(&ListParams::default()).await?.items;
        let is_in_place = |count: &ReplicaCount| count.status.as_ref().and_then(|status| status.observed) == Some(1);
        let in_place = counts.iter().filter(|count| is_in_place(count)).count();
        ensure!(in_place == names.len(), "{in_place} of {} are", names.len());
        Ok(())
    })
    .await
}

/// Refuses every change of a count of the namespace to 1, and waits until it does.
async fn refuse_corrections(namespace: &Namespace<'_>) -> Result<()> {
    let name = format!("{}.example.com", namespace.name);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                                                    "operations": ["UPDATE"], "resources": ["deployments/scale"]}]},
            "validations": [{"expression": "object.spec.replicas != 1", "message": "never 1"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}},
    });
    for object in [policy, binding] {
        namespace.kubectl_with(&["create", "--filename=-"], &object.to_string()).await?;
    }
    wait::until("the policy in force", PATIENCE, async || {
        let scale = namespace.kubectl(&["scale", "deployment/web-0", "--replicas=1", "--dry-run=server"]).await;
        ensure!(scale.is_err_and(|error| error.to_string().contains("never 1")), "it is not yet");
        Ok(())
    })
    .await
}

/// Sets all Deployments to two replicas, past `/scale`, where nothing hangs or refuses.
async fn drift_all(client: &Client, namespaces: [&Namespace<'_>; 2], names: &[String]) -> Result<()> {
    let drift = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let each = names.iter().flat_map(|name| namespaces.map(|namespace| (namespace, name)));
    stream::iter(each.map(|(namespace, name)| {
        let (drift, deployments) = (&drift, Api::<Deployment>::namespaced(client.clone(), &namespace.name));
        async move { deployments.patch(name, &PatchParams::default(), drift).await.map(drop) }
    }))
    .buffer_unordered(REQUESTS)
    .try_collect::<()>()
    .await
    .map_err(Into::into)
}

/// Causes a drift, and returns how long its correction took.
async fn correction(deployments: &Api<Deployment>, name: &str) -> Result<Duration> {
    let begun = Instant::now();
    let drift = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let drifted = deployments.patch_scale(name, &PatchParams::default(), &drift).await?;
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let version = drifted.metadata.resource_version.context("no resource version")?;
    let mut events = pin!(deployments.watch(&params, &version).await?);
    while let Some(event) = timeout(PATIENCE, events.try_next()).await.context("no correction")?? {
        if let WatchEvent::Modified(deployment) = event
            && deployment.spec.and_then(|spec| spec.replicas) == Some(1)
        {
            return Ok(begun.elapsed());
        }
    }
    bail!("the watch has ended")
}

/// The slowest of the corrections of all healthy targets, one after another.
async fn slowest(deployments: &Api<Deployment>, names: &[String]) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for name in names {
        slowest = slowest.max(correction(deployments, name).await?);
    }
    Ok(slowest)
}

/// Drifts of healthy targets are corrected at their usual speed beside this many targets whose corrections hang, and as
/// many whose corrections are refused.
async fn assert_healthy_beside(failing: usize, cluster: &TestCluster) -> Result<()> {
    let client = cluster.control_plane.client().await?;
    let (hanging, refused) = (Namespace::new(cluster, "hanging").await?, Namespace::new(cluster, "refused").await?);
    let healthy = Namespace::new(cluster, "healthy").await?;
    let (bad, good) = (names("web", failing), names("web", HEALTHY));
    for namespace in [&hanging, &refused] {
        create_managed(namespace, &client, &bad).await?;
    }
    create_managed(&healthy, &client, &good).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &healthy.name);
    let quiet = slowest(&deployments, &good).await?;

    let webhook = HangingWebhook::start(&hanging, "web-0").await?;
    refuse_corrections(&refused).await?;
    drift_all(&client, [&hanging, &refused], &bad).await?;
    wait::until("all refusals", 4 * PATIENCE, async || {
        let failing_targets = metric(&cluster.http("/metrics").await?.1, "failing_targets")?;
        ensure!(failing_targets >= failing as u64, "{failing_targets} are failing");
        Ok(())
    })
    .await?;
    let busy = slowest(&deployments, &good).await?;
    println!(
        "the slowest of {HEALTHY} corrections took {quiet:?}, and {busy:?} beside {failing} that hang and {failing} that are refused"
    );
    ensure!(busy < FAST.max(3 * quiet), "it took {busy:?}, and {quiet:?} before");
    let is_refused = |count: &Value| condition(count, "Ready") == Some(("False", "CorrectionFailed"));
    refused.wait_for_replica_count("deployment.web-0", "the refusal in the status", is_refused).await?;

    let failures = metric(&cluster.http("/metrics").await?.1, "correction_failures_total")?;
    let log = std::fs::read_to_string(cluster.server().await?.process.log().context("no log")?)?;
    let lines = log.lines().filter(|line| line.contains("trying again") || line.contains("left out")).count();
    let minutes = 1 + usize::try_from(log_minutes(&log)?)?;
    ensure!(failures >= failing as u64 && lines <= LINES * minutes, "{lines} lines about {failures} failures");
    webhook.end(&hanging).await
}

/// The minutes between the first line of a log and the last.
fn log_minutes(log: &str) -> Result<i64> {
    let time = |line: Option<&str>| -> Result<jiff::Timestamp> {
        Ok(line.and_then(|line| line.split_whitespace().next()).context("an empty log")?.parse()?)
    };
    Ok(time(log.lines().last())?.duration_since(time(log.lines().next())?).as_secs() / 60)
}

#[tokio::test]
#[ignore = "compares times, so nothing may run beside it: make stress"]
async fn hanging_and_refused_corrections_do_not_delay_others() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    assert_healthy_beside(100, &cluster).await
}

#[tokio::test]
#[ignore = "takes minutes: make stress"]
async fn a_thousand_hanging_and_a_thousand_refused_corrections_do_not_delay_others() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    assert_healthy_beside(1000, &cluster).await?;
    wait::until("the number of the failures without a line", 4 * PATIENCE, async || {
        let log = std::fs::read_to_string(cluster.server().await?.process.log().context("no log")?)?;
        ensure!(log.contains("lines about them were left out"), "there is no such line");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn equal_drifts_are_one_event_with_a_count() -> Result<()> {
    let shop = Namespace::shared("series").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 2).await?;
    shop.wait_for_replica_count("deployment.web", "the target in place", |count| count["status"]["observed"] == 2)
        .await?;
    for drifts in 1..=4 {
        shop.kubectl(&["scale", "deployment/web", &format!("--replicas={}", 2 + drifts)]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    wait::until("one Event with a count", PATIENCE, async || {
        let events: Value =
            serde_json::from_str(&shop.kubectl(&["get", "events.events.k8s.io", "--output=json"]).await?)?;
        let events = events["items"].as_array().context("no items")?;
        let put_back: Vec<_> = events.iter().filter(|event| event["reason"] == "ReplicasPutBack").collect();
        ensure!(put_back.len() == 1 && put_back[0]["series"]["count"] == 4, "they are {put_back:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_drift_under_the_name_of_the_server_is_announced() -> Result<()> {
    let shop = Namespace::shared("forged").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let patch =
        ["patch", "deployment/web", "--field-manager=replica-count-manager", "--patch={\"spec\":{\"replicas\":7}}"];
    shop.kubectl(&patch).await?;
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    let drift = &status["lastDrift"];
    assert_eq!((&drift["manager"], &drift["to"]), (&json!("replica-count-manager"), &json!(7)), "{status}");
    Ok(())
}
