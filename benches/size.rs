//! Memory and start-up time, by the number of Deployments.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use hyper::Request;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{ListParams, VersionMatch},
};
use replica_count_manager::resources::ReplicaCount;
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::sleep;

use crate::{
    PATIENCE,
    bench_cluster::BenchCluster,
    histories::LISTED,
    plot::{Axis, Curve, Plot},
    report::{Promise, Section, Table},
    stats::format_duration,
};

/// The numbers of Deployments, a tenth of them managed.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// Starts of the server at each size. The worst one counts.
const STARTS: usize = 3;

/// The time from readiness to the measurement of the memory at rest.
const SETTLE: Duration = Duration::from_secs(5);

/// The default page size of clients of the API server.
const PAGE: usize = 500;

/// The worst figures of several starts.
#[derive(Default)]
struct Worst {
    rest: f64,
    peak: f64,
    ready: Duration,
}

pub(crate) async fn run() -> Result<Section> {
    let cluster = BenchCluster::start().await?;
    let deployments = cluster.deployments().await?;
    let (mut have, mut rows, mut curves) = (0, Vec::new(), [const { Vec::new() }; 2]);
    let mut largest = Worst::default();
    for size in SIZES {
        deployments.create(have..size).await?;
        deployments.manage(have / 10..size / 10).await?;
        have = size;
        wait_for_api_server(&cluster).await?;
        let worst = worst(&cluster).await?;
        let fetched = format_duration(fetch(&cluster, size).await?);
        rows.push(row(format!("{size} / {}", size / 10), &worst, fetched));
        curves[0].push((size as f64, worst.rest));
        curves[1].push((size as f64, worst.peak));
        largest = worst;
    }
    // The largest size again, with as much to remember as a status holds.
    deployments.manage_with_histories(0..have / 10).await?;
    wait_for_api_server(&cluster).await?;
    let full = worst(&cluster).await?;
    rows.push(row(format!("{have} / {}, with full histories", have / 10), &full, String::new()));
    let [rest, peak] = curves;
    Ok(Section {
        title: "Memory and start-up",
        about: format!(
            "The server is started {STARTS} times on so many Deployments, a tenth of them managed; the worst start is \
             shown. Memory is resident: at rest {} s after it is ready, and the most that it ever was (VmHWM). It is \
             ready when /readyz says so: with a complete cache. Beside it, how long a plain client takes that fetches \
             the same Deployments from the API server, in JSON and in pages of {PAGE}, and drops them. A full history is \
             one of {LISTED} changes and {LISTED} drifts.",
            SETTLE.as_secs()
        ),
        table: Table {
            head: vec!["Deployments / managed", "at rest", "at most", "ready after", "fetched alone in"],
            rows,
        },
        promises: vec![
            Promise::at_most("memory at 100000 Deployments, 10000 managed", 96.0, " MiB", largest.peak),
            Promise::at_most("memory there with full histories", 160.0, " MiB", full.peak),
            Promise::at_most("start until ready there", 15.0, " s", largest.ready.as_secs_f64()),
        ],
        plots: vec![Plot {
            name: "size",
            title: "Memory of the server",
            x: Axis { label: "Deployments, a tenth of them managed", logarithmic: true },
            y: Axis { label: "MiB", logarithmic: false },
            curves: vec![
                Curve { name: "at rest".into(), points: rest },
                Curve { name: "at most, start included".into(), points: peak },
                Curve { name: "promised".into(), points: SIZES.map(|size| (size as f64, 96.0)).into() },
            ],
        }],
    })
}

fn row(what: String, worst: &Worst, fetched: String) -> Vec<String> {
    let [rest, peak] = [worst.rest, worst.peak].map(|memory| format!("{memory:.0} MiB"));
    vec![what, rest, peak, format_duration(worst.ready), fetched]
}

/// Waits until the API server's caches contain the objects that were stored directly in etcd.
async fn wait_for_api_server(cluster: &BenchCluster) -> Result<()> {
    let one = ListParams::default().limit(1);
    let deployments: Api<Deployment> = Api::all(cluster.client.clone());
    let counts: Api<ReplicaCount> = Api::all(cluster.client.clone());
    let stored =
        deployments.list_metadata(&one).await?.metadata.resource_version.context("a list without a version")?;
    let cached = one.matching(VersionMatch::NotOlderThan).at(&stored);
    wait::until("the API server's caches", PATIENCE, async || {
        let listed = tokio::try_join!(deployments.list_metadata(&cached), counts.list_metadata(&cached));
        Ok(listed.map(drop)?)
    })
    .await
}

/// A page of a list. Only its continue token and its length are read.
#[derive(Deserialize)]
struct Fetched {
    metadata: Continue,
    items: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Continue {
    #[serde(default)]
    r#continue: String,
}

/// Fetches and drops every Deployment.
async fn fetch(cluster: &BenchCluster, deployments: usize) -> Result<Duration> {
    let (start, mut token, mut fetched) = (Instant::now(), String::new(), 0);
    loop {
        let path = format!("/apis/apps/v1/deployments?limit={PAGE}&continue={token}");
        let page: Fetched = cluster.client.request(Request::get(path).body(Vec::new())?).await?;
        fetched += page.items.len();
        token = page.metadata.r#continue;
        if token.is_empty() {
            ensure!(fetched >= deployments, "{fetched} of {deployments} were listed");
            return Ok(start.elapsed());
        }
    }
}

async fn worst(cluster: &BenchCluster) -> Result<Worst> {
    let mut worst = Worst::default();
    for _ in 0..STARTS {
        let server = cluster.server().await?;
        sleep(SETTLE).await;
        let memory = server.memory()?;
        let [rest, peak] = [memory.resident, memory.peak].map(|kib| kib as f64 / 1024.0);
        worst.rest = worst.rest.max(rest);
        worst.peak = worst.peak.max(peak);
        worst.ready = worst.ready.max(server.ready_after);
        server.kill().await?;
    }
    Ok(worst)
}
