//! The registry and the server's own metrics. docs/metrics.md lists all metrics.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};

use super::{
    actor::Actor, admission::Admission, calls::Calls, process::Process, queue::Queue, requests::Requests,
    watches::Watches,
};

/// The prefix of this server's own metrics.
const PREFIX: &str = "replica_count_manager";

/// The metrics, served as `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// How many targets are managed.
    pub(crate) managed: Gauge,
    /// How many of them are contested.
    pub(crate) contested: Gauge,
    drifts: Family<[(&'static str, &'static str); 1], Counter>,
    /// Targets that wait to be reconciled.
    pub(crate) queue: Queue,
    /// Counts written to targets.
    pub(crate) corrections: Counter,
    /// Writes to targets that failed.
    pub(crate) correction_failures: Counter,
    /// Writes to targets of which another count was stored.
    pub(crate) corrections_changed: Counter,
    /// Managed targets whose last correction was refused, was changed by admission, or got no answer.
    pub(crate) failing: Gauge,
    /// Status writes that failed.
    pub(crate) status_failures: Counter,
    /// Writes of a target's Events that failed.
    pub(crate) event_failures: Counter,
    /// Patches of ownership that failed.
    pub(crate) ownership_failures: Counter,
    /// Seconds from the arrival of a drift's event until the desired count is back.
    pub(crate) correction_seconds: Histogram,
    /// 1 while this replica leads.
    pub(crate) leader: Gauge,
    /// Calls about the Lease that failed.
    pub(crate) lease_failures: Counter,
    /// Servers of other releases that lead and manage the same targets.
    pub(crate) other_servers: Gauge,
    /// 1 if the account's admission policy is known not to be in force.
    pub(crate) fence_missing: Gauge,
    /// Connections refused as too many, of a user or of all.
    pub(crate) connections_refused: Counter,
    /// TLS handshakes that failed.
    pub(crate) handshake_failures: Counter,
    /// Reads of certificates that found nothing usable.
    pub(crate) certificate_failures: Counter,
    /// End of the server's certificate, in seconds since 1970.
    pub(crate) certificate_expiry: Gauge<f64, AtomicU64>,
    /// Requests to the API server.
    pub(crate) requests: Requests,
    /// Watches of the API server.
    pub(crate) watches: Watches,
    /// gRPC calls.
    pub(crate) calls: Calls,
    /// Reviews of admission.
    pub(crate) admission: Admission,
    /// Connections of clients.
    pub(crate) open_connections: Gauge,
    /// Watches of clients.
    pub(crate) open_watches: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let calls = Calls::register(&mut registry);
        registry.register_collector(Box::new(Process));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        ours.register("build", "The version of the server", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let drifts = Family::default();
        Actor::ALL.into_iter().for_each(|actor| drop(drifts.get_or_create(&by(actor))));
        ours.register("drifts", "Drifts, by the kind of program that caused them", drifts.clone());
        let queue = Queue::default();
        ours.register_collector(Box::new(queue.clone()));
        Self {
            managed: add(ours, "managed_targets", "Targets that are managed, on the replica that corrects"),
            contested: add(ours, "contested_targets", "Managed targets whose condition Contested is True"),
            drifts,
            queue,
            corrections: add(ours, "corrections", "Counts written to targets"),
            correction_failures: add(ours, "correction_failures", "Writes to targets that failed"),
            corrections_changed: add(ours, "corrections_changed", "Corrections of which another count was stored"),
            failing: add(ours, "failing_targets", "Managed targets whose last correction was not stored as sent"),
            status_failures: add(ours, "status_failures", "Status writes that failed, or were stored otherwise"),
            event_failures: add(ours, "event_failures", "Writes of a target's Events that failed"),
            ownership_failures: add(ours, "ownership_failures", "Returns of ownership that failed"),
            correction_seconds: add_correction_seconds(ours),
            leader: add(ours, "leader", "Whether this replica corrects and writes statuses"),
            lease_failures: add(ours, "lease_failures", "Calls about the Lease of the leader that failed"),
            other_servers: add(ours, "other_servers", "Leading servers of other releases with the same targets"),
            fence_missing: add(ours, "fence_missing", "Whether the fence of the server's account is not in force"),
            connections_refused: add(
                ours,
                "connections_refused",
                "Connections refused as too many, of a user or of all",
            ),
            handshake_failures: add(ours, "tls_handshake_failures", "TLS handshakes that failed"),
            certificate_failures: add(
                ours,
                "certificate_reload_failures",
                "Reads of certificates that found nothing usable",
            ),
            certificate_expiry: add(
                ours,
                "certificate_expiry_timestamp_seconds",
                "End of the server's certificate, in seconds since 1970",
            ),
            requests: Requests::register(ours),
            watches: Watches::register(ours),
            admission: Admission::register(ours),
            open_connections: add(ours, "open_connections", "Connections that clients have open"),
            open_watches: add(ours, "open_watches", "Watches that clients have open"),
            calls,
            registry,
        }
    }
}

fn add_correction_seconds(registry: &mut Registry) -> Histogram {
    // From a millisecond to five seconds, the longest pause between attempts.
    let metric = Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0]);
    let help = "Time from the arrival of a drift's event until the desired count is back";
    registry.register("correction_seconds", help, metric.clone());
    metric
}

/// Registers a metric that starts at 0.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn by(actor: Actor) -> [(&'static str, &'static str); 1] {
    [("actor", actor.label())]
}

impl Metrics {
    /// Counts a drift.
    pub(crate) fn drifted(&self, actor: Actor) {
        self.drifts.get_or_create(&by(actor)).inc();
    }

    /// The metrics in the OpenMetrics text format.
    ///
    /// # Errors
    ///
    /// When a metric cannot be formatted, which does not happen to these.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, convert::Infallible, future::ready};

    use hyper::{Request, Response};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    /// All metrics, each with at least one series.
    async fn all() -> String {
        let metrics = Metrics::default();
        metrics.watches.listed(&"ReplicaCount");
        metrics.watches.begin(&"ReplicaCount");
        metrics.watches.unreadable.set(&"ReplicaCount", 0);
        let answer = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
        metrics.requests.layer(answer).oneshot(Request::new(())).await.unwrap();
        metrics.calls.layer(answer).oneshot(Request::new(())).await.unwrap();
        metrics.encode().unwrap()
    }

    /// The rows of the document: the name that queries use, the type, and the labels of each metric.
    fn rows(text: &str) -> BTreeSet<String> {
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let rows = families.map(|(family, kind)| {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let series = text.lines().find(|line| line.starts_with(family)).unwrap();
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.split_once('}').unwrap().0);
            let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
            let labels: Vec<_> = labels.filter(|name| *name != "le").map(|name| format!("`{name}`")).collect();
            format!("`{family}{suffix}` | {kind} | {}", labels.join(", "))
        });
        rows.collect()
    }

    #[tokio::test]
    async fn the_document_lists_the_metrics_that_there_are() {
        let lines = include_str!("../../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
        let documented = lines.map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            format!("`{} | {} | {}", cells[0], cells[1], cells[2])
        });
        assert_eq!(documented.collect::<BTreeSet<_>>(), rows(&all().await));
    }

    #[tokio::test]
    async fn alerts_and_the_dashboard_are_about_metrics_that_there_are() {
        let text = all().await;
        let rules = concat!(
            include_str!("../../../charts/replica-count-manager/files/alerts.yaml"),
            include_str!("../../../charts/replica-count-manager/files/dashboard.json"),
        );
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let names =
            rules.split(|c| !is_name(c)).filter(|word| word.starts_with(PREFIX) || word.starts_with("grpc_server"));
        let mut count = 0;
        for name in names {
            assert!(text.lines().any(|line| line.starts_with(name)), "there is no {name}");
            count += 1;
        }
        assert!(count > 30);
    }
}
