//! Concurrent calls, and their latencies.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};

use crate::stats::{Samples, format_duration};

/// The latency of each call, and the time of all calls together.
#[derive(Default)]
pub(crate) struct Calls {
    latencies: Vec<Duration>,
    took: Duration,
}

impl Calls {
    /// Makes a call for each number, with a number of concurrent callers.
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

    /// Adds the calls of another round.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.took += other.took;
    }

    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn samples(&self) -> Samples {
        Samples::new(self.latencies.clone())
    }

    /// Rate, median and p99.
    pub(crate) fn cells(&self) -> [String; 3] {
        let samples = self.samples();
        [format!("{:.0}/s", self.rate()), format_duration(samples.median()), format_duration(samples.percentile(99))]
    }
}
