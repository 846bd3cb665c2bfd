//! Metrics of the queue, computed at each scrape: its age grows between changes.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};
use tokio::time::Instant;

/// How many targets wait to be reconciled, and since when the first of them does. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Queue(Arc<Mutex<(usize, Option<Instant>)>>);

impl Queue {
    /// Records how many targets wait, and since when the first does.
    pub(crate) fn set(&self, length: usize, since: Option<Instant>) {
        *self.0.lock() = (length, since);
    }

    /// How many targets wait, and for how many seconds the first has waited.
    pub(crate) fn get(&self) -> (usize, f64) {
        let (length, since) = *self.0.lock();
        (length, since.map_or(0.0, |since| since.elapsed().as_secs_f64()))
    }
}

impl Collector for Queue {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (length, age) = self.get();
        let (length, age) = (ConstGauge::new(length as u64), ConstGauge::new(age));
        let help = "Targets that wait to be compared and corrected.";
        length.encode(encoder.encode_descriptor("queue_length", help, None, length.metric_type())?)?;
        let help = "For how long the first of them has been waiting; 0 if none waits.";
        age.encode(encoder.encode_descriptor("queue_oldest_age_seconds", help, None, age.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_age_grows_by_itself_while_something_waits() {
        let queue = Queue::default();
        assert_eq!(queue.get(), (0, 0.0));
        queue.set(2, Some(Instant::now()));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(queue.get(), (2, 90.0));
    }
}
