//! Metrics of the watches that fill the index.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use tokio::time::Instant;

/// A label set: the kind. There are few: those that the API server serves and a `ReplicaCount` names.
type OfWatch = [(&'static str, String); 1];

/// Counts the lists and failures of watches, and measures their silence. Clones share the values.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    silence: Silence,
    lists: Family<OfWatch, Counter>,
    failures: Family<OfWatch, Counter>,
    failing: Family<OfWatch, Gauge<f64, AtomicU64>>,
    pub(crate) unreadable: Unreadables,
}

/// How many objects of each kind cannot be read. Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Unreadables(Family<[(&'static str, String); 1], Gauge>);

impl Unreadables {
    /// Stores the number of a kind.
    pub(crate) fn set(&self, kind: &impl Display, number: usize) {
        self.0.get_or_create(&[("kind", kind.to_string())]).set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// The number of a kind.
    #[cfg(test)]
    pub(crate) fn get(&self, kind: &impl Display) -> i64 {
        self.0.get_or_create(&[("kind", kind.to_string())]).get()
    }
}

/// When each watch heard from the API server last.
#[derive(Clone, Debug, Default)]
struct Silence(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Watches {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let watches = Self::default();
        registry.register(
            "watch_lists",
            "Complete lists that watches began with: more than one per watch means that it had to begin again",
            watches.lists.clone(),
        );
        registry.register(
            "watch_failures",
            "Lists and watches that failed or were refused, and are retried",
            watches.failures.clone(),
        );
        registry.register(
            "watch_failing_seconds",
            "How long a watch has been failing: 0 if it works",
            watches.failing.clone(),
        );
        registry.register_collector(Box::new(watches.silence.clone()));
        registry.register(
            "unreadable_objects",
            "Objects that do not fit their type and are left alone; the log names them, within bounds",
            watches.unreadable.0.clone(),
        );
        watches
    }

    /// Counts a complete list.
    pub(crate) fn listed(&self, watch: &impl Display) {
        self.lists.get_or_create(&[("watch", watch.to_string())]).inc();
        // Creates the series before the first failure, so that rates are exact.
        drop(self.failures.get_or_create(&[("watch", watch.to_string())]));
        drop(self.failing.get_or_create(&[("watch", watch.to_string())]));
    }

    /// Counts a failed list or watch.
    pub(crate) fn failed(&self, watch: &impl Display) {
        self.failures.get_or_create(&[("watch", watch.to_string())]).inc();
    }

    /// Starts the measurement of a watch's silence, unless it is measured already.
    pub(crate) fn begin(&self, watch: &impl Display) {
        self.silence.0.lock().entry(watch.to_string()).or_insert_with(Instant::now);
    }

    /// Records that a watch heard something: an event, a bookmark or a page of a list.
    pub(crate) fn heard(&self, watch: &str) {
        if let Some(last) = self.silence.0.lock().get_mut(watch) {
            *last = Instant::now();
        }
    }

    /// Ends the measurement of a watch that is no longer needed.
    pub(crate) fn end(&self, watch: &impl Display) {
        self.silence.0.lock().remove(&watch.to_string());
    }

    /// How long a watch has heard nothing; zero if it is not measured.
    pub(crate) fn silence(&self, watch: &impl Display) -> Duration {
        self.silence.0.lock().get(&watch.to_string()).map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Sets how long a watch has been failing.
    pub(crate) fn set_failing(&self, watch: &impl Display, lasting: Duration) {
        self.failing.get_or_create(&[("watch", watch.to_string())]).set(lasting.as_secs_f64());
    }

    /// Removes the metrics of a watch that has ended.
    pub(crate) fn forget(&self, watch: &impl Display) {
        let labels = [("watch", watch.to_string())];
        self.lists.remove(&labels);
        self.failures.remove(&labels);
        self.failing.remove(&labels);
    }

    /// The watches that have heard nothing for some time.
    pub(crate) fn silent_for(&self, time: Duration) -> Vec<String> {
        let heard = self.silence.0.lock();
        heard.iter().filter(|(_, last)| last.elapsed() >= time).map(|(watch, _)| watch.clone()).collect()
    }
}

impl Collector for Silence {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "For how long a watch has heard nothing from the API server: no event, bookmark or page of a list.";
        let mut metric = encoder.encode_descriptor("watch_silent_seconds", help, None, MetricType::Gauge)?;
        for (watch, last) in self.0.lock().iter() {
            let labels = [("watch", watch.as_str())];
            ConstGauge::new(last.elapsed().as_secs_f64()).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_grows_until_something_is_heard_and_ends_with_the_watch() {
        let watches = Watches::default();
        watches.heard("Rollout.argoproj.io");
        assert_eq!(watches.silence(&"Rollout.argoproj.io"), Duration::ZERO, "it is not measured");
        watches.begin(&"ReplicaCount");
        watches.begin(&"Deployment.apps");
        tokio::time::advance(Duration::from_secs(60)).await;
        watches.begin(&"ReplicaCount");
        watches.heard("Deployment.apps");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(watches.silence(&"ReplicaCount"), Duration::from_secs(90));
        assert_eq!(watches.silent_for(Duration::from_secs(90)), ["ReplicaCount"]);
        watches.end(&"ReplicaCount");
        assert!(watches.silent_for(Duration::from_secs(90)).is_empty());
    }
}
