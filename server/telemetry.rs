//! What operators see: log lines and metrics.

use std::{
    error::Error,
    io::{self, IsTerminal},
    sync::atomic::AtomicU64,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};
use tracing_subscriber::EnvFilter;

/// Starts writing log lines to stderr.
///
/// `level` is a level or a filter in `tracing_subscriber`'s syntax.
///
/// # Errors
///
/// When the filter cannot be read.
pub fn init_log(level: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    // On a failure to decode, kube's client logs whole response bodies; and its watches tell every failure that we tell.
    let filter = EnvFilter::try_new(format!("{level},kube_client::client=error,kube_runtime::watcher=error"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// An error with all its causes, but for those that it has told already: many libraries repeat the cause in their text.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// The metrics, served as `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// How many targets are managed.
    pub managed: Gauge,
    /// Drifts seen.
    pub drifts: Counter,
    /// Counts written to targets.
    pub corrections: Counter,
    /// Writes to targets that failed.
    pub correction_failures: Counter,
    /// Seconds from the arrival of a drift's event to the stored correction.
    pub correction_seconds: Histogram,
    /// 1 while this replica leads.
    pub leader: Gauge,
    /// Calls about the Lease that failed.
    pub lease_failures: Counter,
    /// 1 if the account's admission policy is known not to be in force.
    pub fence_missing: Gauge,
    /// Connections refused because there were too many, of one user or of all.
    pub connections_refused: Counter,
    /// TLS handshakes that failed.
    pub handshake_failures: Counter,
    /// Reads of the certificate's files that found nothing usable.
    pub certificate_failures: Counter,
    /// When the server's certificate ends, in seconds since 1970.
    pub certificate_expiry: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("replica_count_manager"),
            managed: Gauge::default(),
            drifts: Counter::default(),
            corrections: Counter::default(),
            correction_failures: Counter::default(),
            // From a millisecond to the longest pause between attempts.
            correction_seconds: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0]),
            leader: Gauge::default(),
            lease_failures: Counter::default(),
            fence_missing: Gauge::default(),
            connections_refused: Counter::default(),
            handshake_failures: Counter::default(),
            certificate_failures: Counter::default(),
            certificate_expiry: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("build", "The version of the server", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("managed_targets", "Targets that are managed", metrics.managed.clone());
        registry.register("drifts", "Drifts seen", metrics.drifts.clone());
        registry.register("corrections", "Counts written to targets", metrics.corrections.clone());
        registry.register("correction_failures", "Writes to targets that failed", metrics.correction_failures.clone());
        registry.register(
            "correction_seconds",
            "Time from the arrival of a drift's event to the stored correction",
            metrics.correction_seconds.clone(),
        );
        registry.register("leader", "Whether this replica corrects and writes statuses", metrics.leader.clone());
        registry.register(
            "lease_failures",
            "Calls about the Lease of the leader that failed",
            metrics.lease_failures.clone(),
        );
        registry.register(
            "fence_missing",
            "Whether the admission policy that fences the server's account is not in force",
            metrics.fence_missing.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections refused because there were too many, of one user or of all",
            metrics.connections_refused.clone(),
        );
        registry.register("tls_handshake_failures", "TLS handshakes that failed", metrics.handshake_failures.clone());
        registry.register(
            "certificate_reload_failures",
            "Reads of the certificate's files that found nothing usable",
            metrics.certificate_failures.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the server's certificate ends",
            metrics.certificate_expiry.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// The metrics in the OpenMetrics text format.
    ///
    /// # Errors
    ///
    /// When a metric cannot be formatted, which none of these can cause.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
