//! The time from a drift to its correction.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    PATIENCE, baseline,
    bench_cluster::BenchCluster,
    deployments::{self, REPLICAS},
    observer::{Drift, Observer},
    plot::{Curve, Plot},
    report::{Promise, Section, Table},
    stats::{Samples, format_duration, ratio},
};

/// Managed Deployments. With the server, each drifts only twice, so that no target becomes contested.
const DEPLOYMENTS: usize = 520;

/// Rounds of the server and of the baseline, alternating.
const ROUNDS: usize = 4;

/// Drifts of a round.
const DRIFTS: usize = 260;

/// The time between drifts. It is long enough for the server to write the status and the Event before the next drift.
const INTERVAL: Duration = Duration::from_millis(100);

/// Autoscaled Deployments. All of them drift once within a period of the autoscaler.
const AUTOSCALED: usize = 50;
const AUTOSCALER_INTERVAL: Duration = Duration::from_millis(300);
const AUTOSCALER_ROUNDS: usize = 2;

pub(crate) async fn run() -> Result<Section> {
    let cluster = BenchCluster::start().await?;
    cluster.create_managed_deployments(DEPLOYMENTS).await?;
    let observer = Observer::start(cluster.client.clone(), DEPLOYMENTS).await?;
    let [mut ours, mut baseline] = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        let first = round * DRIFTS;
        let server = cluster.server().await?;
        // The server gives back the ownership that the baseline has taken.
        observer.wait_until_settled(DEPLOYMENTS, REPLICAS).await?;
        ours.extend(drifts(&cluster, &observer, first..first + DRIFTS, INTERVAL).await?);
        server.kill().await?;
        let mut process = baseline::start(&cluster.control_plane.kubeconfig()).await?;
        baseline.extend(drifts(&cluster, &observer, first..first + DRIFTS, INTERVAL).await?);
        process.kill().await?;
    }
    let autoscaled = autoscaled(&cluster, &observer).await?;
    Ok(section([ours, baseline, autoscaled].map(Samples::new)))
}

/// Changes one count after another, and returns how long each correction took.
async fn drifts(
    cluster: &BenchCluster,
    observer: &Observer,
    indices: std::ops::Range<usize>,
    between: Duration,
) -> Result<Vec<Duration>> {
    let mut ticks = interval(between);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut writes = JoinSet::new();
    for index in indices {
        ticks.tick().await;
        let to = REPLICAS + 1 + (index % 5) as i32;
        writes.spawn(Drift::write(cluster.client.clone(), index % DEPLOYMENTS, to));
    }
    let drifts = writes.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let corrections = observer.wait_for_corrections(&drifts).await?;
    Ok(drifts.iter().zip(corrections).map(|(drift, end)| end.saturating_duration_since(drift.at)).collect())
}

/// Measures autoscalers whose minimum and maximum are the desired count.
async fn autoscaled(cluster: &BenchCluster, observer: &Observer) -> Result<Vec<Duration>> {
    for index in 0..AUTOSCALED {
        let (namespace, name) = (deployments::namespace(index), deployments::name(index));
        let autoscaler = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": REPLICAS,
                "maxReplicas": REPLICAS,
            },
        }))?;
        let api: Api<HorizontalPodAutoscaler> = Api::namespaced(cluster.client.clone(), &namespace);
        api.create(&PostParams::default(), &autoscaler).await?;
    }
    let api: Api<HorizontalPodAutoscaler> = Api::all(cluster.client.clone());
    wait::until("every autoscaler at work", PATIENCE, async || {
        let all = api.list(&ListParams::default()).await?;
        let working = all.items.iter().filter(|one| {
            one.status.as_ref().is_some_and(|status| status.conditions.as_ref().is_some_and(|known| !known.is_empty()))
        });
        ensure!(working.count() == AUTOSCALED, "some are not");
        Ok(())
    })
    .await
    .context("the controller manager does not autoscale")?;
    let mut all = Vec::new();
    for _ in 0..AUTOSCALER_ROUNDS {
        all.extend(drifts(cluster, observer, 0..AUTOSCALED, AUTOSCALER_INTERVAL).await?);
    }
    Ok(all)
}

fn section([ours, baseline, autoscaled]: [Samples; 3]) -> Section {
    let names = ["replica-count-manager", "baseline", "HPA with min = max"];
    let all = [&ours, &baseline, &autoscaled];
    let row = |(name, samples): (&str, &Samples)| {
        let [median, p99] = [50, 99].map(|percent| samples.percentile(percent));
        let times = |this, that| format!("{:.2}×", ratio(this, that));
        vec![
            name.to_owned(),
            samples.len().to_string(),
            format_duration(median),
            format_duration(p99),
            format_duration(samples.percentile(100)),
            times(median, baseline.median()),
            times(p99, baseline.percentile(99)),
        ]
    };
    Section {
        title: "From a drift to its correction",
        about: format!(
            "The time from the API server's answer to the write of a drift until a watcher sees the correction. There are \
             {DEPLOYMENTS} Deployments, and a drift every {} ms, by five field managers in turn. The baseline is a process \
             that only watches, in protobuf like the server, and sends the same patch. The baseline and the server take turns \
             of {DRIFTS} drifts on the same Deployments. The server also gives ownership back, and writes statuses and \
             Events. A HorizontalPodAutoscaler with min = max can hold a count too; it acts every 15 s.",
            INTERVAL.as_millis()
        ),
        table: Table {
            head: vec!["", "drifts", "median", "p99", "longest", "median : baseline", "p99 : baseline"],
            rows: names.into_iter().zip(all).map(row).collect(),
        },
        promises: vec![
            Promise::at_most("median", 1.5, "× the baseline's", ratio(ours.median(), baseline.median())),
            Promise::at_most("p99", 3.0, "× the baseline's", ratio(ours.percentile(99), baseline.percentile(99))),
        ],
        plots: vec![Plot::latencies(
            "drift",
            "From a drift to its correction",
            names
                .into_iter()
                .zip(all)
                .map(|(name, samples)| Curve { name: name.to_owned(), points: samples.distribution() })
                .collect(),
        )],
    }
}
