//! Signs the certificates of clients: CertificateSigningRequests for our own signer name, which Kubernetes' own signers
//! leave alone.
//!
//! The API server records in each request the user who made it, and the user's groups. The certificate takes these and
//! the request's key, nothing else: it says who its holder is, and RBAC decides what the holder may do. Every replica
//! signs. The API server accepts the first certificate.

mod request;
mod step;
mod writes;

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use clap::Args;
use contract::names::CLIENT_SIGNER;
use futures::{StreamExt, stream::FuturesUnordered};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use self::{
    request::Request,
    step::{Step, Subject, step},
};
use super::managed::ManagedCertificates;
use crate::{
    resources::Lenient,
    telemetry::{self, FailureLog},
};

/// The longest time that one attempt for one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many requests are read, signed and written at once. Each takes up to 1.5 MB, the largest object in etcd.
const AT_ONCE: usize = 8;

/// How many requests of one page of a list. Each takes up to 1.5 MB, the largest object in etcd.
const PAGE: u32 = 10;

/// How many requests can be unfinished. While there are so many, the watch waits. Their names take 260 bytes each.
const MAX_UNFINISHED: usize = 1000;

/// After how long without a request or the end of a list the requests are listed anew. kube's watcher waits for ever for a
/// list whose answer does not end, and for a watch that the API server refuses to resume.
const QUIET: Duration = Duration::from_secs(5 * 60);

/// How many steps of one request follow each other without a pause: an approval, a signature, and one of each that
/// another replica took first.
const MAX_STEPS: u32 = 4;

/// The first pause after a failure.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest pause after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Whether and how to sign the certificates of clients.
#[derive(Args, Clone, Debug)]
pub struct SignerArgs {
    /// Sign CertificateSigningRequests for replica-count-manager.io/client; requires managed certificates
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) sign_clients: bool,

    /// Approve every well-formed one; otherwise approve them with `kubectl certificate approve`
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) approve_clients: bool,

    /// Longest life of a client certificate, in hours
    #[arg(long, env, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub(crate) client_hours: u32,
}

/// Approves and signs requests.
pub(crate) struct Signer {
    client: Client,
    requests: Api<Lenient<Request>>,
    managed: Arc<ManagedCertificates>,
    args: SignerArgs,
    attempts: Semaphore,
    failures: FailureLog,
}

impl Signer {
    pub(crate) fn new(client: Client, managed: Arc<ManagedCertificates>, args: SignerArgs) -> Self {
        let attempts = Semaphore::new(AT_ONCE);
        let failures = FailureLog::default();
        Self { requests: Api::all(client.clone()), client, managed, args, attempts, failures }
    }

    /// Signs for as long as it is polled.
    pub(crate) async fn run(self) {
        let config = watcher::Config::default().fields(&format!("spec.signerName={CLIENT_SIGNER}")).page_size(PAGE);
        let watch = || watcher::watcher(self.requests.clone(), config.clone()).default_backoff();
        let mut events = pin!(watch());
        let mut heard = Instant::now();
        let mut work = FuturesUnordered::new();
        // The unfinished requests, and whether each has changed since its work began.
        let mut unfinished: HashMap<String, bool> = HashMap::new();
        loop {
            tokio::select! {
                event = events.next(), if unfinished.len() < MAX_UNFINISHED => match event {
                    Some(Ok(Event::Apply(request) | Event::InitApply(request))) => {
                        heard = Instant::now();
                        let Some(name) = self.unfinished(request) else { continue };
                        if unfinished.insert(name.clone(), true).is_none() {
                            unfinished.insert(name.clone(), false);
                            work.push(self.finish(name));
                        }
                    }
                    Some(Ok(_)) => heard = Instant::now(),
                    Some(Err(error)) => {
                        warn!(error = telemetry::chain(&error), "requests for certificates cannot be watched");
                    }
                    None => return,
                },
                () = sleep_until(heard + QUIET) => {
                    heard = Instant::now();
                    events.set(watch());
                }
                Some(name) = work.next() => {
                    if unfinished.remove(&name) == Some(true) {
                        unfinished.insert(name.clone(), false);
                        work.push(self.finish(name));
                    }
                }
                more = self.failures.left_out() => {
                    warn!(more, "further requests for certificates failed: lines about them were left out");
                }
            }
        }
    }

    /// The name of a request, if there is something to do for it.
    fn unfinished(&self, request: Lenient<Request>) -> Option<String> {
        match request.read() {
            Ok(request) if step(&request, self.args.approve_clients) == Step::Leave => None,
            Ok(request) => request.metadata.name,
            Err(unreadable) => {
                if self.admits(1) {
                    let (name, reason) = (unreadable.metadata.name.as_deref(), &unreadable.reason);
                    warn!(kind = "CertificateSigningRequest", name, reason, "object cannot be read and is left alone");
                }
                None
            }
        }
    }

    /// Whether a failure of a request gets a line in the log. Every user who may log in can make requests that fail.
    fn admits(&self, attempts: u32) -> bool {
        self.failures.admits(attempts, Instant::now())
    }

    /// Takes the steps of a request until there is none. After a failure, the next attempt comes after a pause, while
    /// the other requests go on. Returns the request's name.
    async fn finish(&self, name: String) -> String {
        let (mut pauses, mut steps, mut failures) = (pauses(), 0, 0_u32);
        loop {
            // The permits never end.
            let Ok(permit) = self.attempts.acquire().await else { return name };
            let attempt = timeout(TIMEOUT, self.attempt(&name)).await;
            drop(permit);
            let problem = match attempt {
                Ok(Ok(Step::Leave | Step::Fail(_))) => return name,
                Ok(Ok(Step::Approve | Step::Sign(_))) if steps < MAX_STEPS => {
                    steps += 1;
                    continue;
                }
                Ok(Ok(Step::Approve | Step::Sign(_))) => "others change it all the time".to_owned(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => format!("no answer within {TIMEOUT:?}"),
            };
            failures = failures.saturating_add(1);
            if self.admits(failures) {
                warn!(request = name, error = problem, "certificate request failed, trying again");
            }
            sleep(pauses.next().unwrap_or(BACKOFF_MAX)).await;
        }
    }

    /// Takes the next step of a request, and returns it.
    async fn attempt(&self, name: &str) -> Result<Step> {
        let request = self.requests.get_opt(name).await.context("failed to read the request")?;
        let Some(Ok(request)) = request.map(Lenient::read) else { return Ok(Step::Leave) };
        let user = &request.spec.username;
        let mut step = step(&request, self.args.approve_clients);
        if matches!(step, Step::Approve | Step::Sign(_))
            && !writes::may_request(&self.client, &request.spec).await.context("failed to ask for the right")?
        {
            step = Step::Fail(missing_right(user));
        }
        let patch = match &step {
            Step::Leave => return Ok(step),
            Step::Approve => {
                writes::condition(&request, "Approved", "AutoApproved", "RBAC decides what its holder may do")
            }
            Step::Sign(subject) => match self.sign(&request, subject) {
                Ok(certificate) => writes::certificate(&request, certificate),
                Err(error) => writes::condition(&request, "Failed", "NotWellFormed", &format!("{error:#}")),
            },
            Step::Fail(problem) => writes::condition(&request, "Failed", "Refused", problem),
        };
        let subresource = if step == Step::Approve { "approval" } else { "status" };
        writes::patch(&self.requests, subresource, name, patch).await.context("failed to write the request")?;
        info!(target: telemetry::AUDIT, request = name, user, step = step.name(), "audit: certificate request");
        Ok(step)
    }

    fn sign(&self, request: &Request, subject: &Subject) -> Result<String> {
        let text = std::str::from_utf8(&request.spec.request.0).context("the request is not PEM")?;
        let longest = Duration::from_secs(u64::from(self.args.client_hours) * 60 * 60);
        let requested = request.spec.expiration_seconds.and_then(|seconds| seconds.try_into().ok());
        let lifetime = requested.map(Duration::from_secs).map_or(longest, |requested| requested.min(longest));
        self.managed.with_authority(|ca| ca.sign_request(text, &subject.user, &subject.groups, lifetime))
    }
}

/// The message to a user who may not request a certificate.
fn missing_right(user: &str) -> String {
    format!(
        "{user} may not request certificates of the signer {CLIENT_SIGNER}: an administrator grants it with the \
         chart's access.login, or: kubectl create clusterrolebinding NAME --clusterrole=replica-count-manager-login \
         --user={user}"
    )
}

fn pauses() -> ExponentialBackoff {
    let backoff = ExponentialBuilder::new().with_min_delay(BACKOFF_MIN).with_max_delay(BACKOFF_MAX);
    backoff.without_max_times().with_jitter().build()
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests;
