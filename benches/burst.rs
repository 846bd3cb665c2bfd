//! 10,000 drifts at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use replica_count_manager::{api::TargetKind, scale};

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

/// When corrections were seen, in order.
struct Corrections {
    begin: Instant,
    seen: Vec<Instant>,
}

pub(crate) async fn run() -> Result<Section> {
    let stage = Stage::start().await?;
    stage.managed_fleet(DRIFTS).await?;
    let observer = Observer::start(stage.client.clone(), DRIFTS).await?;

    let server = stage.server().await?;
    server.pause()?;
    let drifts = drift_all(&stage, REPLICAS + 1).await?;
    let begin = Instant::now();
    server.resume()?;
    let ours = Corrections::new(begin, observer.corrections(&drifts).await?);
    server.end().await?;

    let drifts = drift_all(&stage, REPLICAS + 2).await?;
    let begin = Instant::now();
    patch_all(&stage).await?;
    let plain = Corrections::new(begin, observer.corrections(&drifts).await?);
    Ok(section(&ours, &plain))
}

/// Changes every count.
async fn drift_all(stage: &Stage, to: i32) -> Result<Vec<Drift>> {
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

    /// From the begin to the first and to the last.
    fn ends(&self) -> [Duration; 2] {
        let ends = [self.seen.first(), self.seen.last()];
        ends.map(|end| end.map_or(Duration::ZERO, |end| end.saturating_duration_since(self.begin)))
    }

    /// In corrections a second, from the first one to the last.
    fn rate(&self) -> f64 {
        let [first, last] = self.ends();
        (self.seen.len() - 1) as f64 / (last - first).as_secs_f64()
    }

    fn curve(&self, name: &str) -> Curve {
        let point = |(index, seen): (usize, &Instant)| {
            (seen.saturating_duration_since(self.begin).as_secs_f64(), (index + 1) as f64)
        };
        Curve { name: name.to_owned(), points: self.seen.iter().enumerate().map(point).collect() }
    }
}

fn section(ours: &Corrections, plain: &Corrections) -> Section {
    let row = |name: &str, corrections: &Corrections| {
        let [first, last] = corrections.ends();
        let rate = corrections.rate();
        vec![
            name.to_owned(),
            shown(first),
            shown(last),
            format!("{rate:.0}/s"),
            format!("{:.0} %", 100.0 * rate / plain.rate()),
        ]
    };
    Section {
        title: "10,000 drifts at once",
        about: format!(
            "The server is stopped (SIGSTOP), {DRIFTS} counts of managed Deployments are changed, and it goes on. \
             The rate is that of corrections as a watcher sees them, from the first to the last. It is compared with \
             one client that sends the same patches to the same Deployments, {CALLERS} at a time, once the server has ended."
        ),
        table: Table {
            head: vec!["", "first after", "last after", "rate", "of the plain client's"],
            rows: vec![row("replica-count-manager", ours), row("plain client", plain)],
        },
        promises: vec![Promise::at_least("rate", 90.0, " % of the plain client's", 100.0 * ours.rate() / plain.rate())],
        plots: vec![Plot {
            name: "burst",
            title: "10,000 drifts at once",
            x: Axis { label: "seconds", logarithmic: false },
            y: Axis { label: "put back", logarithmic: false },
            curves: vec![ours.curve("replica-count-manager"), plain.curve("plain client")],
        }],
    }
}
