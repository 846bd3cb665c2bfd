//! Metrics of the watches that fill the index.

use std::fmt::Display;

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counts by kind. There are few: the kinds that the API server serves and a `ReplicaCount` names.
type ByWatch = Family<[(&'static str, String); 1], Counter>;

/// Counts the lists and failures of watches. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    lists: ByWatch,
    failures: ByWatch,
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
        watches
    }

    /// Counts a complete list.
    pub(crate) fn listed(&self, watch: &impl Display) {
        self.lists.get_or_create(&[("watch", watch.to_string())]).inc();
        // Creates the series before the first failure, so that rates are exact.
        drop(self.failures.get_or_create(&[("watch", watch.to_string())]));
    }

    /// Counts a failed list or watch.
    pub(crate) fn failed(&self, watch: &impl Display) {
        self.failures.get_or_create(&[("watch", watch.to_string())]).inc();
    }
}
