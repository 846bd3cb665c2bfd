//! Many users write other counts to held workloads, in every way, all at once.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::Value;

use super::{
    recorder::Recorder,
    ways::{Way, Written, refusal},
};
use support::{
    Namespace, TestCluster, admission, callers,
    manifests::{ReplicaCountManifest, Workload},
};

/// The count that is held.
pub(super) const HELD: i32 = 2;

/// The counts that are written.
const OTHERS: [i32; 5] = [0, 1, 3, 4, 9];

/// The workloads, by their kinds and names.
const WORKLOADS: [(&str, &str); 6] = [
    ("Deployment", "api"),
    ("Deployment", "web"),
    ("Deployment", "worker"),
    ("StatefulSet", "cache"),
    ("StatefulSet", "db"),
    ("ReplicaSet", "alone"),
];

/// How many writes are under way at once. With so few, the API server answers each in milliseconds on an idle machine.
const WRITERS: usize = 8;

/// How the writes of one way ended.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Refused by the webhook.
    refused: usize,
    /// Accepted, with the held count.
    kept: usize,
}

/// Creates workloads that are held, and waits until their counts are guarded.
pub(super) async fn create_held(shop: &Namespace<'_>) -> Result<()> {
    for (kind, name) in WORKLOADS {
        let workload = match kind {
            "Deployment" => Workload::deployment(name),
            "StatefulSet" => Workload::stateful_set(name),
            _ => Workload::replica_set(name),
        };
        shop.create(&workload.replicas(HELD)).await?;
        let count = ReplicaCountManifest::deployment(name).of_kind("apps/v1", kind).name(&count_name(kind, name));
        shop.kubectl_with(&["create", "--filename=-"], &count.replicas(HELD).manifest()).await?;
    }
    for (kind, name) in WORKLOADS {
        wait_until_guarded(shop, &count_name(kind, name)).await?;
    }
    Ok(())
}

fn count_name(kind: &str, name: &str) -> String {
    format!("{}.{name}", kind.to_lowercase())
}

/// Waits until a target has its count and its replicas, and the server says that the count is guarded.
pub(super) async fn wait_until_guarded(shop: &Namespace<'_>, count: &str) -> Result<()> {
    let is_guarded = |count: &Value| {
        count["status"]["admission"] == "guarded" && support::condition(count, "Ready") == Some(("True", "InPlace"))
    };
    shop.wait_for_replica_count(count, "a guarded count", is_guarded).await.map(drop)
}

/// Clients of several users: with certificates, by impersonation, and with a service account's token.
async fn users(shop: &Namespace<'_>) -> Result<Vec<(String, Client)>> {
    let cluster = shop.cluster;
    let mut users = Vec::new();
    for name in ["mallory", "oscar"] {
        users.push((name.to_owned(), callers::editor(cluster, name).await?));
    }
    users.push(("trudy".to_owned(), callers::impersonated(cluster, "trudy", &[callers::EDITORS]).await?));
    let (client, name) = callers::service_account(shop, "deployer").await?;
    users.push((name, client));
    Ok(users)
}

/// Writes other counts than the held one, and returns how the writes of each way ended. Checks that no other count was
/// stored, but for those that the API server let through because an answer took too long.
pub(super) async fn write(
    cluster: &TestCluster,
    purpose: &str,
    writes: usize,
    seed: u64,
) -> Result<BTreeMap<Way, Tally>> {
    let shop = Namespace::new(cluster, purpose).await?;
    create_held(&shop).await?;
    let users = users(&shop).await?;
    let let_through = admission::fail_opens(cluster).await?;
    let recorder = Recorder::start(&shop).await?;
    let mut rng = Rng::with_seed(seed);
    let planned: Vec<_> = (0..writes)
        .map(|_| {
            let count = OTHERS[rng.usize(..OTHERS.len())];
            let way = Way::ALL[rng.usize(..Way::ALL.len())];
            (rng.usize(..users.len()), rng.usize(..WORKLOADS.len()), way, count)
        })
        .collect();
    let outcomes: Vec<(Way, bool)> = stream::iter(planned.into_iter().map(|(user, workload, way, count)| {
        let ((user, client), (kind, name)) = (&users[user], WORKLOADS[workload]);
        let written = Written::new(client.clone(), &shop.name, kind, name);
        async move {
            let refusal = refusal(written.write(way, count, "hostile", false).await)?;
            let what = format!("{way:?} of {kind} {name} to {count} by {user}");
            if let Some(refusal) = &refusal {
                ensure!(way.is_of_scale(), "{what} was refused: {}", refusal.message);
                check_denial(&refusal.message, kind, name).context(what)?;
            }
            anyhow::Ok((way, refusal.is_some()))
        }
    }))
    .buffer_unordered(WRITERS)
    .try_collect()
    .await?;
    let counts = recorder.end().await?;
    let let_through = admission::fail_opens(cluster).await? - let_through;
    let foreign: Vec<_> =
        counts.iter().filter(|(_, counts)| counts.iter().any(|count| *count != i64::from(HELD))).collect();
    ensure!(foreign.is_empty() || let_through > 0, "other counts were stored: {foreign:?}");
    let mut tallies = BTreeMap::<_, Tally>::new();
    for (way, is_refused) in outcomes {
        let tally = tallies.entry(way).or_default();
        if is_refused {
            tally.refused += 1;
        } else {
            // Nothing but a late answer lets a write through `/scale` pass.
            ensure!(!way.is_of_scale() || let_through > 0, "{way:?} was accepted");
            tally.kept += 1;
        }
    }
    println!("{writes} hostile writes: {tallies:?}; let through, as answers came too late: {let_through}");
    check_statuses(&shop, &users).await?;
    Ok(tallies)
}

/// Checks the text of a denial.
fn check_denial(message: &str, kind: &str, name: &str) -> Result<()> {
    let held = format!("{}.apps/{name} is held at {HELD}", kind.to_lowercase());
    let is_complete = message.contains("denied the request: ") && message.contains(&held);
    ensure!(is_complete && message.contains("change it with: kubectl replicas set "), "the denial is {message:?}");
    Ok(())
}

/// Waits until each status counts attempts and names one of the users, and checks that there were no drifts.
async fn check_statuses(shop: &Namespace<'_>, users: &[(String, Client)]) -> Result<()> {
    for (kind, name) in WORKLOADS {
        let is_counted = |count: &Value| count["status"]["attempts"].as_i64().is_some_and(|attempts| attempts > 0);
        let count = shop.wait_for_replica_count(&count_name(kind, name), "attempts", is_counted).await?;
        let last = &count["status"]["lastAttempt"];
        let is_user = users.iter().any(|(user, _)| last["user"] == user.as_str());
        ensure!(is_user && (last["verdict"] == "kept" || last["verdict"] == "denied"), "{last}");
    }
    Ok(())
}
