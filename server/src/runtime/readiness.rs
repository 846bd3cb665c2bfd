//! Whether this replica should get calls: its watches have synced, and it has reached the API server lately.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::Client;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::{grpc, index::Index};

/// How often the API server is asked whether it is there.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long it may be out of reach before this replica is unready: longer than its restart takes, since every replica
/// would be unready at once, and calls that need no API server still work meanwhile.
const LATELY: Duration = Duration::from_secs(20);

/// The state of readiness. Liveness never depends on it, nor on the API server.
#[derive(Clone)]
pub struct Readiness {
    index: Arc<Index>,
    reached: Arc<Mutex<Option<Instant>>>,
    draining: CancellationToken,
}

impl Readiness {
    /// Not ready until [`Readiness::watch`] has reached the API server; never again once `draining` is cancelled.
    pub fn new(index: Arc<Index>, draining: CancellationToken) -> Self {
        Self { index, reached: Arc::default(), draining }
    }

    /// Why this replica is not ready; `None` if it is.
    pub fn problem(&self) -> Option<&'static str> {
        let reached = *self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if self.draining.is_cancelled() {
            Some("stopping")
        } else if !self.index.is_synced() {
            Some("the watches have not synced")
        } else if self.index.stalled().is_some() {
            Some("a watch of the API server fails")
        } else if reached.is_none_or(|reached| reached.elapsed() > LATELY) {
            Some("the API server is out of reach")
        } else {
            None
        }
    }

    /// Keeps the state and `grpc.health.v1` up to date for as long as it is polled.
    pub async fn watch(&self, client: Client, health: HealthReporter) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_ready = false;
        loop {
            self.next(&mut ticks).await;
            if !self.draining.is_cancelled()
                && let Ok(Ok(_)) = timeout(INTERVAL, client.apiserver_version()).await
            {
                *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            let problem = self.problem();
            if problem.is_none() != was_ready {
                match problem {
                    None => info!("ready"),
                    Some(problem) => warn!(problem, "not ready"),
                }
                was_ready = problem.is_none();
                grpc::report(&health, was_ready).await;
            }
        }
    }

    /// Waits for the next moment to look: a tick, or what makes this replica ready or unready at once.
    async fn next(&self, ticks: &mut tokio::time::Interval) {
        let synced = self.index.is_synced();
        let draining = self.draining.is_cancelled();
        tokio::select! {
            _ = ticks.tick() => {}
            () = self.index.synced(), if !synced => {}
            () = self.draining.cancelled(), if !draining => {}
        }
    }
}
