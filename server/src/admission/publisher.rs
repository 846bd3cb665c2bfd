//! Tells the API server where the webhooks are, and by which path and CA to call them, while this replica leads.
//!
//! The leader decides about counts and reports, so it alone answers. It writes its address into an EndpointSlice, and the
//! path and the CA into the configurations of the webhooks. Before the Lease is released, it removes its address. Nothing
//! of this is needed for corrections, so failures are reported and tried again.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::{StreamExt, future::Shared};
use kube::{Client, runtime::events::EventType};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    args::AdmissionArgs,
    configuration::Configuration,
    paths::{Paths, Secret},
    review::Endpoint,
    slice::{Address, Slice},
};
use crate::{
    leader::{Leadership, Term},
    resources::api_errors,
    reviews::AdmissionMode,
    runtime::pod::{PodArgs, PodEvents},
    telemetry::{self, Metrics},
    tls::Credentials,
};

/// How often the objects are read, to repair what others have changed.
const INTERVAL: Duration = Duration::from_secs(30);

/// The first pause after a failure. It grows up to [`INTERVAL`].
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// The age at which the secret in the paths is replaced.
const SECRET_AGE: Duration = Duration::from_secs(60 * 60);

/// The longest time of one attempt to write everything.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for removing the address. The Lease is released after that.
const WITHDRAWAL: Duration = Duration::from_secs(1);

/// The server's certificate, once it is loaded.
pub(crate) type Certificate = Shared<oneshot::Receiver<Arc<Credentials>>>;

/// Publishes the webhooks.
pub(crate) struct Publisher {
    slice: Slice,
    configurations: Vec<Configuration>,
    certificate: Certificate,
    paths: Arc<Paths>,
    metrics: Arc<Metrics>,
    events: PodEvents,
    is_failing: bool,
}

impl Publisher {
    /// Publishes the webhooks of the settings, which listen at an address and answer to these paths.
    pub(crate) fn new(
        client: &Client,
        args: &AdmissionArgs,
        pod: &PodArgs,
        address: Address,
        certificate: Certificate,
        paths: Arc<Paths>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let service = &args.admission_service;
        let configuration =
            |endpoint| Configuration::new(client, endpoint, &args.admission_configuration, &pod.pod_namespace, service);
        let endpoints: &[_] = match args.admission_mode {
            AdmissionMode::Guard => &[Endpoint::Validate, Endpoint::Mutate],
            AdmissionMode::Off | AdmissionMode::Record | AdmissionMode::Warn => &[Endpoint::Validate],
        };
        Self {
            slice: Slice::new(client, service, pod, address),
            configurations: endpoints.iter().copied().map(configuration).collect(),
            certificate,
            paths,
            metrics,
            events: PodEvents::new(client.clone(), pod),
            is_failing: false,
        }
    }

    /// Publishes while this replica leads, until the token is cancelled. Then it removes the address of this replica.
    pub(crate) async fn run(mut self, mut leadership: Leadership, stop: CancellationToken) {
        while let Some(term) = stop.run_until_cancelled(leadership.begins()).await {
            stop.run_until_cancelled(self.lead(&term)).await;
            self.metrics.admission.unpublished.set(0);
            // Another replica may lead by now: its address stays.
            match timeout(WITHDRAWAL, self.slice.withdraw()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if is_lost_race(&error) => {}
                Ok(Err(error)) => warn!(error = telemetry::chain(error.as_ref()), "the address of the webhooks stays"),
                Err(_) => warn!("the address of the webhooks stays: no answer within {WITHDRAWAL:?}"),
            }
        }
    }

    /// Publishes until the term is over.
    async fn lead(&mut self, term: &Term) {
        term.run(self.publish()).await;
    }

    /// Writes everything again and again: at intervals, when the certificate changes, and soon after a failure.
    async fn publish(&mut self) {
        // Without a certificate, the server is about to stop.
        let Ok(credentials) = self.certificate.clone().await else { return pending().await };
        let mut changes = pin!(credentials.changes());
        let (mut pauses, mut secret) = (pauses(), None);
        self.is_failing = false;
        loop {
            let written = timeout(TIMEOUT, self.write(&credentials, &mut secret)).await;
            let written = written.unwrap_or_else(|_| Err(anyhow!("no answer within {TIMEOUT:?}")));
            let pause = match &written {
                Ok(()) => {
                    pauses = self::pauses();
                    INTERVAL
                }
                Err(_) => pauses.next().unwrap_or(INTERVAL),
            };
            self.report(written).await;
            tokio::select! {
                () = sleep(pause) => {}
                Some(()) = changes.next() => {}
            }
        }
    }

    /// Writes everything once, with a new secret if there is none or the one before is too old.
    async fn write(&self, credentials: &Credentials, known: &mut Option<(Secret, Instant)>) -> Result<()> {
        let secret = match known {
            Some((secret, made)) if made.elapsed() < SECRET_AGE => secret.clone(),
            before => {
                let secret = Secret::random().context("failed to make a secret path")?;
                if before.is_some() {
                    self.paths.replace(secret.clone())
                } else {
                    self.paths.begin(secret.clone())
                }
                *before = Some((secret.clone(), Instant::now()));
                secret
            }
        };
        self.slice.publish().await?;
        let ca = credentials.managed_authorities();
        for configuration in &self.configurations {
            configuration.publish(&secret, ca.as_deref()).await?;
        }
        self.paths.written(Instant::now());
        Ok(())
    }

    /// Reports when a problem begins and when it ends.
    async fn report(&mut self, written: Result<()>) {
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        match written {
            // The leader before may have written at the same time. The next attempt follows at once.
            Err(error) if is_lost_race(&error) => self.is_failing = was_failing,
            Err(error) => {
                self.metrics.admission.unpublished.set(1);
                if !was_failing {
                    let error = telemetry::chain(error.as_ref());
                    warn!(error, "the webhooks cannot be published, trying again: the API server does not call them");
                    let note = format!("the webhooks cannot be published: {error}");
                    self.events.record(EventType::Warning, "WebhooksUnpublished", "PublishWebhooks", &note).await;
                }
            }
            Ok(()) => {
                self.metrics.admission.unpublished.set(0);
                if was_failing {
                    info!("the webhooks are published again");
                    let note = "the webhooks are published again";
                    self.events.record(EventType::Normal, "WebhooksPublished", "PublishWebhooks", note).await;
                }
            }
        }
    }
}

/// Whether somebody else wrote at the same time.
fn is_lost_race(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status))
        if api_errors::is_lost_race(status) || api_errors::is_failed_test(status))
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(MIN_PAUSE).with_max_delay(INTERVAL).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_race_that_is_lost_is_no_failure() {
        let status = |code, reason| Status::failure("x", reason).with_code(code);
        for (name, status, expected) in [
            ("conflict", status(409, "Conflict"), true),
            ("created by another", status(409, "AlreadyExists"), true),
            ("other webhooks", status(422, "Invalid"), true),
            ("no right", status(403, "Forbidden"), false),
            ("no configuration", status(404, "NotFound"), false),
        ] {
            let error = Err::<(), _>(kube::Error::Api(Box::new(status))).context("failed").unwrap_err();
            assert_eq!(is_lost_race(&error), expected, "{name}");
        }
    }
}
