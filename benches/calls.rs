//! Many calls by many callers.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};

use crate::stats::{Samples, shown};

/// How long each call took, and all of them.
#[derive(Default)]
pub(crate) struct Calls {
    latencies: Vec<Duration>,
    took: Duration,
}

impl Calls {
    /// Makes the calls for these numbers, so many at a time.
    pub(crate) async fn make<F: Future<Output = Result<()>>>(
        numbers: impl IntoIterator<Item = usize>,
        callers: usize,
        call: impl Fn(usize) -> F,
    ) -> Result<Self> {
        let start = Instant::now();
        let call = &call;
        let calls = stream::iter(numbers).map(|number| async move {
            let start = Instant::now();
            call(number).await?;
            Ok::<_, anyhow::Error>(start.elapsed())
        });
        let latencies = calls.buffer_unordered(callers).try_collect().await?;
        Ok(Self { latencies, took: start.elapsed() })
    }

    /// Adds those of another round.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.took += other.took;
    }

    /// In calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn samples(&self) -> Samples {
        Samples::new(self.latencies.clone())
    }

    /// Rate, median and p99.
    pub(crate) fn cells(&self) -> [String; 3] {
        let samples = self.samples();
        [format!("{:.0}/s", self.rate()), shown(samples.median()), shown(samples.percentile(99))]
    }
}
