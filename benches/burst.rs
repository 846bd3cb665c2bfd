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
    fleet::{self, REPLICAS},
    observer::{Drift, Observer},
    plot::{Axis, Curve, Plot},
    report::{Promise, Section, Table},
    stage::Stage,
    stats::shown,
};

const DRIFTS: usize = 10_000;

/// Rounds of ours and of the plain client, alternating: each may be as far off as the machine is busy elsewhere.
const ROUNDS: usize = 3;

/// When corrections were seen, in order.
struct Corrections {
    begin: Instant,
    seen: Vec<Instant>,
}

/// A round of ours and one of the plain client.
struct Round {
    ours: Corrections,
    plain: Corrections,
}

pub(crate) async fn run() -> Result<Section> {
    let stage = Stage::start().await?;
    stage.managed_fleet(DRIFTS).await?;
    let observer = Observer::start(stage.client.clone(), DRIFTS).await?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let ours = ours(&stage, &observer, round).await?;
        let plain = plain(&stage, &observer, round).await?;
        rounds.push(Round { ours, plain });
    }
    Ok(section(&rounds))
}

async fn ours(stage: &Stage, observer: &Observer, round: usize) -> Result<Corrections> {
    let server = stage.server().await?;
    // It gives back what the plain client has written.
    observer.settled(DRIFTS, REPLICAS).await?;
    server.pause()?;
    let drifts = drift_all(stage, round).await?;
    let begin = Instant::now();
    server.resume()?;
    let corrections = Corrections::new(begin, observer.corrections(&drifts).await?);
    // Both begin with nothing left to be told of or given back.
    let drifts = round as i64 + 1;
    let told = |count: &ReplicaCount| count.status.as_ref().is_some_and(|status| status.drifts >= drifts);
    stage.counts_are(DRIFTS, told).await?;
    observer.settled(DRIFTS, REPLICAS).await?;
    server.end().await?;
    Ok(corrections)
}

async fn plain(stage: &Stage, observer: &Observer, round: usize) -> Result<Corrections> {
    let drifts = drift_all(stage, round).await?;
    let begin = Instant::now();
    patch_all(stage).await?;
    Ok(Corrections::new(begin, observer.corrections(&drifts).await?))
}

/// Changes every count.
async fn drift_all(stage: &Stage, round: usize) -> Result<Vec<Drift>> {
    // Another count each time is another writer each time: nothing looks like a fight.
    let to = REPLICAS + 1 + round as i32;
    let writes = stream::iter(0..DRIFTS).map(|member| Drift::write(stage.client.clone(), member, to));
    writes.buffer_unordered(CALLERS).try_collect().await
}

/// Puts every count back, as the server would.
async fn patch_all(stage: &Stage) -> Result<()> {
    let kind = TargetKind::apps().into_iter().next().context("no kind")?;
    stream::iter((0..DRIFTS).map(fleet::key))
        .try_for_each_concurrent(CALLERS, async |key| {
            scale::patch(&stage.client, &key, &kind, REPLICAS).await?;
            Ok(())
        })
        .await
}

impl Corrections {
    fn new(begin: Instant, mut seen: Vec<Instant>) -> Self {
        seen.sort_unstable();
        Self { begin, seen }
    }

    /// From the begin to the first.
    fn first(&self) -> Duration {
        self.seen.first().map_or(Duration::ZERO, |first| first.saturating_duration_since(self.begin))
    }

    /// In corrections a second, from the begin to the last one.
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

/// The rate of all rounds together: each has as many corrections as the others.
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
        let firsts = [ours, plain].map(|corrections| shown(corrections.first()));
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
