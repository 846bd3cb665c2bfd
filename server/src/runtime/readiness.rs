//! Whether this replica should get calls: its watches have synced, and it has reached the API server lately.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use parking_lot::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::client;
use crate::index::Index;

/// How often the API server is called to see whether it answers.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long the API server may be out of reach before this replica is not ready. It is longer than a restart of the API
/// server takes. Otherwise a restart would make all replicas unready at once, although calls that need no API server
/// still work.
const LATELY: Duration = Duration::from_secs(20);

/// Decides whether this replica is ready. Liveness never depends on it, nor on the API server.
#[derive(Clone)]
pub(crate) struct Readiness {
    index: Arc<Index>,
    /// When the API server answered last.
    reached: Arc<Mutex<Option<Instant>>>,
    /// Cancelled once the server has a certificate, so that it serves calls.
    certified: CancellationToken,
    draining: CancellationToken,
}

impl Readiness {
    /// Not ready until `certified` is cancelled and [`Readiness::watch`] has reached the API server; never again once
    /// `draining` is cancelled.
    pub(crate) fn new(index: Arc<Index>, certified: CancellationToken, draining: CancellationToken) -> Self {
        Self { index, reached: Arc::default(), certified, draining }
    }

    /// Why this replica is not ready; `None` if it is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let reached = *self.reached.lock();
        if self.draining.is_cancelled() {
            Some("stopping")
        } else if !self.certified.is_cancelled() {
            Some("the server has no certificate yet")
        } else if !self.index.is_synced() {
            Some("the watches have not synced")
        } else if *self.index.is_blind().borrow() {
            Some("the watch of ReplicaCounts hears nothing from the API server")
        } else if self.index.is_stalled() {
            Some("the watch of ReplicaCounts fails")
        } else if reached.is_none_or(|reached| reached.elapsed() > LATELY) {
            Some("the API server is out of reach")
        } else {
            None
        }
    }

    /// Keeps itself up to date for as long as it is polled, and reports each change.
    pub(crate) async fn watch<R: Future<Output = ()>>(&self, client: Client, report: impl Fn(bool) -> R) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_ready = false;
        loop {
            self.wait(&mut ticks).await;
            if !self.draining.is_cancelled() && timeout(INTERVAL, client::is_answering(&client)).await == Ok(true) {
                *self.reached.lock() = Some(Instant::now());
            }
            let problem = self.problem();
            if problem.is_none() != was_ready {
                match problem {
                    None => info!("ready"),
                    Some(problem) => warn!(problem, "not ready"),
                }
                was_ready = problem.is_none();
                report(was_ready).await;
            }
        }
    }

    /// Waits for a tick, or for an event that changes the readiness at once: the first sync, or the stop.
    async fn wait(&self, ticks: &mut Interval) {
        let is_synced = self.index.is_synced();
        let is_draining = self.draining.is_cancelled();
        tokio::select! {
            _ = ticks.tick() => {}
            () = self.index.synced(), if !is_synced => {}
            () = self.draining.cancelled(), if !is_draining => {}
        }
    }
}
