//! Metrics of the watches that fill the index.

use std::{fmt::Display, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A label set: the kind. There are few: those that the API server serves and a `ReplicaCount` names.
type OfWatch = [(&'static str, String); 1];

/// Counts the lists and failures of watches. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    lists: Family<OfWatch, Counter>,
    failures: Family<OfWatch, Counter>,
    failing: Family<OfWatch, Gauge<f64, AtomicU64>>,
}

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
}
