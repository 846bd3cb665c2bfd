//! Metrics of the watches that feed the cache.

use std::fmt::Display;

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What a watch is of: the kinds are few, those that the API server serves and a `ReplicaCount` names.
type ByWatch = Family<[(&'static str, String); 1], Counter>;

/// Counts what becomes of the watches. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    lists: ByWatch,
    failures: ByWatch,
}

impl Watches {
    /// Counts that a registry shows.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let watches = Self::default();
        registry.register(
            "watch_lists",
            "Complete lists that watches began with: more than one for each watch means that it had to begin anew",
            watches.lists.clone(),
        );
        registry.register(
            "watch_failures",
            "Lists and watches that failed or were refused, and are tried again",
            watches.failures.clone(),
        );
        watches
    }

    /// A list is complete.
    pub fn listed(&self, watch: &impl Display) {
        self.lists.get_or_create(&[("watch", watch.to_string())]).inc();
        // So that it is there before the first failure.
        drop(self.failures.get_or_create(&[("watch", watch.to_string())]));
    }

    /// A list or a watch has failed.
    pub fn failed(&self, watch: &impl Display) {
        self.failures.get_or_create(&[("watch", watch.to_string())]).inc();
    }
}
