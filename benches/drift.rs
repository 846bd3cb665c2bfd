//! From a drift to its correction.

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
    PATIENCE,
    fleet::{self, REPLICAS},
    floor,
    observer::{Drift, Observer},
    plot::{Curve, Plot},
    report::{Promise, Section, Table},
    stage::Stage,
    stats::{Samples, ratio, shown},
};

/// Managed Deployments. Each drifts twice in all of ours, so that nothing looks like a fight.
const MEMBERS: usize = 520;

/// Rounds of ours and of the floor, alternating.
const ROUNDS: usize = 4;

/// Drifts in a round.
const DRIFTS: usize = 260;

/// The time between drifts: enough for the server to tell of each, which is not to be in the way of the next.
const PACE: Duration = Duration::from_millis(100);

/// Autoscaled Deployments: all of them drift once within a period of the autoscaler.
const AUTOSCALED: usize = 50;
const AUTOSCALER_PACE: Duration = Duration::from_millis(300);
const AUTOSCALER_ROUNDS: usize = 2;

pub(crate) async fn run() -> Result<Section> {
    let stage = Stage::start().await?;
    stage.managed_fleet(MEMBERS).await?;
    let observer = Observer::start(stage.client.clone(), MEMBERS).await?;
    let [mut ours, mut floor] = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        let first = round * DRIFTS;
        let server = stage.server().await?;
        // It gives back what the floor has written.
        observer.settled(MEMBERS, REPLICAS).await?;
        ours.extend(drifts(&stage, &observer, first..first + DRIFTS, PACE).await?);
        server.end().await?;
        let mut process = floor::start(&stage.cluster.kubeconfig()).await?;
        floor.extend(drifts(&stage, &observer, first..first + DRIFTS, PACE).await?);
        process.kill().await?;
    }
    let autoscaled = autoscaled(&stage, &observer).await?;
    Ok(section([ours, floor, autoscaled].map(Samples::new)))
}

/// Changes one count after the other, and returns how long each took to be put back.
async fn drifts(
    stage: &Stage,
    observer: &Observer,
    members: std::ops::Range<usize>,
    pace: Duration,
) -> Result<Vec<Duration>> {
    let mut pace = interval(pace);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut writes = JoinSet::new();
    for member in members {
        pace.tick().await;
        let to = REPLICAS + 1 + (member % 5) as i32;
        writes.spawn(Drift::write(stage.client.clone(), member % MEMBERS, to));
    }
    let drifts = writes.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let corrections = observer.corrections(&drifts).await?;
    Ok(drifts.iter().zip(corrections).map(|(drift, end)| end.saturating_duration_since(drift.at)).collect())
}

/// The same with autoscalers whose least and most are the count.
async fn autoscaled(stage: &Stage, observer: &Observer) -> Result<Vec<Duration>> {
    for member in 0..AUTOSCALED {
        let (namespace, name) = (fleet::namespace(member), fleet::name(member));
        let autoscaler = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": REPLICAS,
                "maxReplicas": REPLICAS,
            },
        }))?;
        let api: Api<HorizontalPodAutoscaler> = Api::namespaced(stage.client.clone(), &namespace);
        api.create(&PostParams::default(), &autoscaler).await?;
    }
    let api: Api<HorizontalPodAutoscaler> = Api::all(stage.client.clone());
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
        all.extend(drifts(stage, observer, 0..AUTOSCALED, AUTOSCALER_PACE).await?);
    }
    Ok(all)
}

fn section([ours, floor, autoscaled]: [Samples; 3]) -> Section {
    let names = ["replica-count-manager", "floor", "HPA with min = max"];
    let all = [&ours, &floor, &autoscaled];
    let row = |(name, samples): (&str, &Samples)| {
        let [median, p99] = [50, 99].map(|percent| samples.percentile(percent));
        let times = |this, that| format!("{:.2}×", ratio(this, that));
        vec![
            name.to_owned(),
            samples.len().to_string(),
            shown(median),
            shown(p99),
            shown(samples.percentile(100)),
            times(median, floor.median()),
            times(p99, floor.percentile(99)),
        ]
    };
    Section {
        title: "From a drift to its correction",
        about: format!(
            "The time from the API server's answer to whoever changed a count until a watcher sees it put back. \
             {MEMBERS} Deployments, a drift every {} ms, by five field managers in turn. The floor is a process with a \
             bare watch, in protobuf like the server's, that sends the same patch; it and the server take turns of \
             {DRIFTS} drifts on the same Deployments. The server also gives ownership back, and writes status and \
             Event. A HorizontalPodAutoscaler with min = max is what else holds a count; it looks every 15 s.",
            PACE.as_millis()
        ),
        table: Table {
            head: vec!["", "drifts", "median", "p99", "longest", "median : floor", "p99 : floor"],
            rows: names.into_iter().zip(all).map(row).collect(),
        },
        promises: vec![
            Promise::at_most("median", 1.5, "× the floor's", ratio(ours.median(), floor.median())),
            Promise::at_most("p99", 3.0, "× the floor's", ratio(ours.percentile(99), floor.percentile(99))),
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
