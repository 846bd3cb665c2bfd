//! Metrics of the watches that fill the index.

use std::fmt::Display;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counts by kind. There are few: the kinds that the API server serves and a `ReplicaCount` names.
type ByWatch = Family<[(&'static str, String); 1], Counter>;

/// Counts the lists and failures of watches. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    lists: ByWatch,
    failures: ByWatch,
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
            "unreadable_objects",
            "Objects that do not fit their type and are left alone; the log names each",
            watches.unreadable.0.clone(),
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
