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
    handle::Reviewer,
    paths::{Paths, Secret},
    review::Endpoint,
    slice::{Address, Slice},
};
use crate::{
    leader::{Leadership, Term},
    resources::api_errors,
    reviews::{Admission, AdmissionMode, Reviews},
    runtime::pod::{PodArgs, PodEvents},
    telemetry::{self, Metrics},
    tls::Credentials,
};

/// How often the objects are read, to repair what others have changed.
const INTERVAL: Duration = Duration::from_secs(30);

/// The first pause after a failure. It grows up to [`INTERVAL`].
const MIN_PAUSE: Duration = Duration::from_millis(200);

/// The lost races in a row of which the last one is a failure. The leader before may have written at the same time, but
/// not again and again.
const MAX_LOST_RACES: u32 = 3;

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
    reviews: Arc<Reviews>,
    events: PodEvents,
    outcomes: Outcomes,
}

/// What the attempts of a term have led to.
#[derive(Default)]
struct Outcomes {
    is_failing: bool,
    lost_races: u32,
}

impl Publisher {
    /// Publishes the configured webhooks and tells the reviewer's `Reviews` what is missing.
    pub(crate) fn new(
        client: &Client,
        args: &AdmissionArgs,
        pod: &PodArgs,
        address: Address,
        certificate: Certificate,
        paths: Arc<Paths>,
        reviewer: &Reviewer,
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
            metrics: reviewer.metrics.clone(),
            reviews: reviewer.reviews.clone(),
            events: PodEvents::new(client.clone(), pod),
            outcomes: Outcomes::default(),
        }
    }

    /// Publishes while this replica leads, until the token is cancelled. Then it removes the address of this replica.
    pub(crate) async fn run(mut self, mut leadership: Leadership, stop: CancellationToken) {
        while let Some(term) = stop.run_until_cancelled(leadership.begins()).await {
            stop.run_until_cancelled(self.lead(&term)).await;
            self.metrics.admission.unpublished.set(0);
            self.reviews.set_configured(Admission::Guarded);
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
        self.outcomes = Outcomes::default();
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
    async fn write(&self, credentials: &Credentials, known: &mut Option<Secret>) -> Result<()> {
        let secret = match known {
            Some(secret) if !self.paths.is_due(Instant::now()) => secret.clone(),
            before => {
                let secret = Secret::random().context("failed to make a secret path")?;
                if before.is_some() {
                    self.paths.replace(secret.clone())
                } else {
                    self.paths.begin(secret.clone())
                }
                *before = Some(secret.clone());
                secret
            }
        };
        self.slice.publish().await?;
        let ca = credentials.managed_authorities();
        write_all(&self.configurations, &secret, ca.as_deref(), &self.reviews).await?;
        self.paths.written(Instant::now());
        Ok(())
    }

    /// Reports when a problem begins and when it ends.
    async fn report(&mut self, written: Result<()>) {
        let has_changed = self.outcomes.record(&written);
        self.metrics.admission.unpublished.set(self.outcomes.is_failing.into());
        match written {
            _ if !has_changed => {}
            Err(error) => {
                let error = telemetry::chain(error.as_ref());
                warn!(error, "the webhooks cannot be published, trying again: the API server does not call them");
                let note = format!("the webhooks cannot be published: {error}");
                self.events.record(EventType::Warning, "WebhooksUnpublished", "PublishWebhooks", &note).await;
            }
            Ok(()) => {
                info!("the webhooks are published again");
                let note = "the webhooks are published again";
                self.events.record(EventType::Normal, "WebhooksPublished", "PublishWebhooks", note).await;
            }
        }
    }
}

/// Writes into all configurations, also if one of them is gone: the webhooks of the others need the path. Returns the
/// first failure.
async fn write_all(
    configurations: &[Configuration],
    secret: &Secret,
    ca: Option<&[u8]>,
    reviews: &Reviews,
) -> Result<()> {
    let (mut configured, mut written) = (Admission::Guarded, Ok(()));
    for configuration in configurations {
        let Err(error) = configuration.publish(secret, ca).await else { continue };
        // Any other failure does not say whether the API server calls the webhooks. Probes show that.
        if is_gone(&error) {
            configured = configured.min(configured_without(configuration.endpoint()));
            reviews.set_configured(configured);
        }
        written = written.and(Err(error));
    }
    if written.is_ok() {
        reviews.set_configured(configured);
    }
    written
}

impl Outcomes {
    /// Records an attempt. Returns whether a problem begins or ends with it.
    fn record(&mut self, written: &Result<()>) -> bool {
        let is_lost_race = written.as_ref().is_err_and(is_lost_race);
        self.lost_races = if is_lost_race { self.lost_races.saturating_add(1) } else { 0 };
        if is_lost_race && self.lost_races < MAX_LOST_RACES {
            return false;
        }
        std::mem::replace(&mut self.is_failing, written.is_err()) != self.is_failing
    }
}

/// Whether somebody else wrote at the same time.
fn is_lost_race(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status))
        if api_errors::is_lost_race(status) || api_errors::is_failed_test(status))
}

/// Whether there is no such configuration.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status)) if status.is_not_found())
}

/// What the webhooks can do at most without a configuration.
fn configured_without(endpoint: Endpoint) -> Admission {
    match endpoint {
        Endpoint::Validate => Admission::Neither,
        Endpoint::Mutate => Admission::Recorded,
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(MIN_PAUSE).with_max_delay(INTERVAL).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Response};
    use kube::{client::Body, core::Status};
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    fn failure(code: u16, reason: &str) -> Result<()> {
        let status = Status::failure("x", reason).with_code(code);
        Err::<(), _>(kube::Error::Api(Box::new(status))).context("failed")
    }

    #[test]
    fn a_lost_race_is_known_by_its_error() {
        for (name, failure, expected) in [
            ("conflict", failure(409, "Conflict"), true),
            ("created by another", failure(409, "AlreadyExists"), true),
            ("written by another", failure(422, "Invalid"), true),
            ("no right", failure(403, "Forbidden"), false),
            ("no configuration", failure(404, "NotFound"), false),
        ] {
            assert_eq!(failure.is_err_and(|error| is_lost_race(&error)), expected, "{name}");
        }
    }

    #[test]
    fn a_configuration_that_is_gone_is_known_by_its_error() {
        for (name, failure, expected) in [
            ("no configuration", failure(404, "NotFound"), true),
            ("no right", failure(403, "Forbidden"), false),
            ("a busy API server", failure(429, "TooManyRequests"), false),
            ("no answer", Err(anyhow!("no answer")), false),
        ] {
            assert_eq!(failure.is_err_and(|error| is_gone(&error)), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_configuration_that_is_gone_keeps_no_other_from_its_path() {
        const VALIDATING: &str = "/validatingwebhookconfigurations/";
        const MUTATING: &str = "/mutatingwebhookconfigurations/";
        struct Row {
            name: &'static str,
            gone: &'static [&'static str],
            configured: Admission,
        }
        for Row { name, gone, configured } in [
            Row { name: "the validating one", gone: &[VALIDATING], configured: Admission::Neither },
            Row { name: "both", gone: &[VALIDATING, MUTATING], configured: Admission::Neither },
            Row { name: "the mutating one", gone: &[MUTATING], configured: Admission::Recorded },
            Row { name: "none", gone: &[], configured: Admission::Guarded },
        ] {
            let requests: Arc<Mutex<Vec<String>>> = Arc::default();
            let seen = requests.clone();
            let answer = tower::service_fn(move |request: Request<Body>| {
                let path = request.uri().path().to_owned();
                let is_gone = gone.iter().any(|sort| path.contains(sort));
                seen.lock().push(path);
                let (code, answer) = if is_gone {
                    (404_u16, json!({"status": "Failure", "message": "gone", "reason": "NotFound", "code": 404}))
                } else {
                    (200, json!({"apiVersion": "v1", "kind": "x", "metadata": {"name": "rcm"}}))
                };
                let body = Body::from(answer.to_string().into_bytes());
                async move { Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?) }
            });
            let client = Client::new(answer, "default");
            let configurations = [Endpoint::Validate, Endpoint::Mutate]
                .map(|endpoint| Configuration::new(&client, endpoint, "rcm", "rcm", "webhooks"));
            let reviews = Reviews::default();
            let written = write_all(&configurations, &Secret::random().unwrap(), None, &reviews).await;
            assert_eq!((written.is_ok(), *reviews.configured().borrow()), (gone.is_empty(), configured), "{name}");
            for sort in [VALIDATING, MUTATING] {
                assert!(requests.lock().iter().any(|path| path.contains(sort)), "{name}: {sort}");
            }
        }
    }

    #[test]
    fn a_failure_is_reported_once_and_a_lost_race_only_if_it_repeats() {
        let (ok, lost, failed) = (|| Ok(()), || failure(409, "Conflict"), || failure(403, "Forbidden"));
        let mut outcomes = Outcomes::default();
        for (step, (written, has_changed, is_failing)) in [
            (ok(), false, false),
            (lost(), false, false),
            (lost(), false, false),
            (ok(), false, false),
            (failed(), true, true),
            (failed(), false, true),
            (lost(), false, true),
            (ok(), true, false),
            (lost(), false, false),
            (lost(), false, false),
            (lost(), true, true),
            (lost(), false, true),
            (ok(), true, false),
        ]
        .into_iter()
        .enumerate()
        {
            let changed = outcomes.record(&written);
            assert_eq!((changed, outcomes.is_failing), (has_changed, is_failing), "step {step}");
        }
    }
}
