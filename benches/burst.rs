//! 10,000 drifts at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use replica_count_manager::{
    enforcement::writes::scale,
    resources::{ReplicaCount, TargetKind},
};

use crate::{
    CALLERS,
    bench_cluster::BenchCluster,
    deployments::{self, REPLICAS},
    observer::{Drift, Observer},
    plot::{Axis, Curve, Plot},
    report::{Promise, Section, Table},
    stats::format_duration,
};

const DRIFTS: usize = 10_000;

/// Rounds of the server and of the plain client, alternating. Several rounds even out other load on the machine.
const ROUNDS: usize = 3;

/// The times at which the observer saw corrections, in order.
struct Corrections {
    begin: Instant,
    seen: Vec<Instant>,
}

/// A round of the server and a round of the plain client.
struct Round {
    ours: Corrections,
    plain: Corrections,
}

pub(crate) async fn run() -> Result<Section> {
    let cluster = BenchCluster::start().await?;
    cluster.create_managed_deployments(DRIFTS).await?;
    let observer = Observer::start(cluster.client.clone(), DRIFTS).await?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let ours = ours(&cluster, &observer, round).await?;
        let plain = plain(&cluster, &observer, round).await?;
        rounds.push(Round { ours, plain });
    }
    Ok(section(&rounds))
}

async fn ours(cluster: &BenchCluster, observer: &Observer, round: usize) -> Result<Corrections> {
    let server = cluster.server().await?;
    // The server gives back the ownership that the plain client has taken.
    observer.wait_until_settled(DRIFTS, REPLICAS).await?;
    server.pause()?;
    let drifts = drift_all(cluster, round).await?;
    let begin = Instant::now();
    server.resume()?;
    let corrections = Corrections::new(begin, observer.wait_for_corrections(&drifts).await?);
    // Wait until all statuses are written and all ownership is given back, so that the next round starts at rest.
    let drifts = round as i64 + 1;
    let has_drifts = |count: &ReplicaCount| count.status.as_ref().is_some_and(|status| status.drifts >= drifts);
    cluster.wait_for_replica_counts(DRIFTS, has_drifts).await?;
    observer.wait_until_settled(DRIFTS, REPLICAS).await?;
    server.kill().await?;
    Ok(corrections)
}

async fn plain(cluster: &BenchCluster, observer: &Observer, round: usize) -> Result<Corrections> {
    let drifts = drift_all(cluster, round).await?;
    let begin = Instant::now();
    patch_all(cluster).await?;
    Ok(Corrections::new(begin, observer.wait_for_corrections(&drifts).await?))
}

/// Changes every count.
async fn drift_all(cluster: &BenchCluster, round: usize) -> Result<Vec<Drift>> {
    // Each round's other count means another field manager, so that no target becomes contested.
    let to = REPLICAS + 1 + round as i32;
    let writes = stream::iter(0..DRIFTS).map(|index| Drift::write(cluster.client.clone(), index, to));
    writes.buffer_unordered(CALLERS).try_collect().await
}

/// Restores every count with the server's patch.
async fn patch_all(cluster: &BenchCluster) -> Result<()> {
    let kind = TargetKind::apps().into_iter().next().context("no kind")?;
    stream::iter((0..DRIFTS).map(deployments::key))
        .try_for_each_concurrent(CALLERS, async |key| {
            scale::patch(&cluster.client, &key, &kind, REPLICAS).await?;
            Ok(())
        })
        .await
}

impl Corrections {
    fn new(begin: Instant, mut seen: Vec<Instant>) -> Self {
        seen.sort_unstable();
        Self { begin, seen }
    }

    /// The time until the first correction.
    fn first(&self) -> Duration {
        self.seen.first().map_or(Duration::ZERO, |first| first.saturating_duration_since(self.begin))
    }

    /// Corrections a second, until the last correction.
    fn rate(&self) -> f64 {
        let last = self.seen.last().map_or(Duration::ZERO, |last| last.saturating_duration_since(self.begin));
        self.seen.len() as f64 / last.as_secs_f64()
    }

    fn curve(&self, name: &str) -> Curve {
        let point = |(index, seen): (usize, &Instant)| {
            (seen.saturating_duration_since(self.begin).as_secs_f64(), (index + 1) as f64)
        };
        Curve { name: name.to_owned(), points: self.seen.iter().enumerate().map(point).collect() }
    }
}

/// The rate of all rounds together: the harmonic mean, because each round has the same number of corrections.
fn mean(rates: impl ExactSizeIterator<Item = f64>) -> f64 {
    rates.len() as f64 / rates.map(|rate| 1.0 / rate).sum::<f64>()
}

fn section(rounds: &[Round]) -> Section {
    let ours = mean(rounds.iter().map(|round| round.ours.rate()));
    let plain = mean(rounds.iter().map(|round| round.plain.rate()));
    let row = |name: String, firsts: [String; 2], ours: f64, plain: f64| {
        let [first, plain_first] = firsts;
        vec![
            name,
            first,
            format!("{ours:.0}/s"),
            plain_first,
            format!("{plain:.0}/s"),
            format!("{:.0} %", 100.0 * ours / plain),
        ]
    };
    let row_of = |(index, Round { ours, plain }): (usize, &Round)| {
        let firsts = [ours, plain].map(|corrections| format_duration(corrections.first()));
        row(format!("round {}", index + 1), firsts, ours.rate(), plain.rate())
    };
    let mut rows: Vec<_> = rounds.iter().enumerate().map(row_of).collect();
    rows.push(row("all".into(), Default::default(), ours, plain));
    let curves =
        rounds.last().map(|Round { ours, plain }| [ours.curve("replica-count-manager"), plain.curve("plain client")]);
    Section {
        title: "10,000 drifts at once",
        about: format!(
            "The server is stopped (SIGSTOP), {DRIFTS} counts of managed Deployments are changed, and it goes on. \
             The rate is that of corrections from then until a watcher has seen the last one, the server's connections \
             to the API server included. It is compared, from its first patch on, with one client that sends the same \
             patches to the same Deployments, {CALLERS} at a time, while the server does not run; they take turns. The \
             plot shows the last round."
        ),
        table: Table {
            head: vec![
                "",
                "the server's first after",
                "its rate",
                "the plain client's first after",
                "its rate",
                "server : plain client",
            ],
            rows,
        },
        promises: vec![Promise::at_least("rate", 90.0, " % of the plain client's", 100.0 * ours / plain)],
        plots: vec![Plot {
            name: "burst",
            title: "10,000 drifts at once",
            x: Axis { label: "seconds", logarithmic: false },
            y: Axis { label: "put back", logarithmic: false },
            curves: curves.into_iter().flatten().collect(),
        }],
    }
}
