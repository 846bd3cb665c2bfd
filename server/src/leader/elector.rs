//! Gets the Lease, renews it, and gives it up.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{PostParams, WatchEvent, WatchParams},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Holding, Leadership, LeaseArgs, RENEW_DEADLINE, RETRY,
    record::{self, ObservedLease},
};
use crate::{
    resources::FIELD_MANAGER,
    runtime::pod::PodArgs,
    telemetry::{self, Metrics},
};

/// How long one call may take: half of the deadline, so that one that hangs leaves time for another.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take to give the Lease up. Past that, it runs out.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// By how much of [`RETRY`] attempts to get the Lease spread, so that many replicas do not ask as one. client-go's.
const JITTER: f64 = 1.2;

/// How long a watch of the Lease lasts, in seconds.
const WATCH_SECONDS: u32 = 60;

/// Takes part in the election for as long as it is polled.
pub struct Elector {
    leases: Api<Lease>,
    name: String,
    identity: String,
    seen: ObservedLease,
    state: watch::Sender<Option<Holding>>,
    terms: u64,
    metrics: Arc<Metrics>,
    /// Whether the latest call failed.
    failing: bool,
}

/// What became of an attempt to get or to renew the Lease.
enum Attempt {
    /// It is ours, by a write that was sent then.
    Held(Instant),
    /// Another replica holds it.
    Refused,
    /// Another wrote at the same time.
    Raced,
    /// The API server did not answer as it should.
    Failed,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl Elector {
    /// A candidate with a name of its own: a restarted container is another one.
    ///
    /// # Errors
    ///
    /// When the namespace is not given.
    pub fn new(client: Client, args: &LeaseArgs, pod: &PodArgs, metrics: Arc<Metrics>) -> Result<(Self, Leadership)> {
        let namespace = &pod.pod_namespace;
        ensure!(!namespace.is_empty(), "LEASE needs POD_NAMESPACE: the namespace that the Lease is in");
        let (state, receiver) = watch::channel(None);
        let elector = Self {
            leases: Api::namespaced(client, namespace),
            name: args.lease.clone(),
            identity: format!("{}_{:016x}", pod.name(), fastrand::u64(..)),
            seen: ObservedLease::default(),
            state,
            terms: 0,
            metrics,
            failing: false,
        };
        Ok((elector, Leadership { state: receiver }))
    }

    /// Runs until the token is cancelled, and then gives the Lease up for others to take at once. Whoever writes must have
    /// stopped by then.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.elect()).await;
        self.publish(None);
        match timeout(RELEASE_TIMEOUT, self.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = telemetry::chain(&error), "lease not released: it runs out by itself"),
            Err(_) => warn!("lease not released within {RELEASE_TIMEOUT:?}: it runs out by itself"),
        }
    }

    async fn elect(&mut self) {
        loop {
            let sent = self.acquire().await;
            self.terms += 1;
            info!(lease = self.name, identity = self.identity, "leading");
            self.hold(sent).await;
            self.publish(None);
            warn!(lease = self.name, holder = self.seen.holder(), "no longer leading");
        }
    }

    fn publish(&self, holding: Option<Holding>) {
        self.metrics.leader.set(holding.is_some().into());
        self.state.send_replace(holding);
    }

    /// Tries until the Lease is ours, and returns when the write that made it so was sent.
    async fn acquire(&mut self) -> Instant {
        let mut changes = pin!(changes(self.leases.clone(), self.name.clone()));
        loop {
            if let Attempt::Held(sent) = self.attempt().await {
                return sent;
            }
            let retry = Instant::now() + RETRY.mul_f64(1.0 + fastrand::f64() * JITTER);
            self.wait(retry, changes.as_mut()).await;
        }
    }

    /// Waits until then, or until the Lease is free.
    async fn wait(&mut self, retry: Instant, mut changes: impl Stream<Item = Option<Lease>> + Unpin) {
        loop {
            let ends = self.seen.ends().filter(|ends| *ends > Instant::now());
            tokio::select! {
                () = sleep_until(ends.map_or(retry, |ends| ends.min(retry))) => return,
                Some(lease) = changes.next() => {
                    self.seen.see(lease, Instant::now());
                    if self.seen.holder().is_empty() {
                        return;
                    }
                }
            }
        }
    }

    /// Renews the Lease until that has not worked for too long, or another has it.
    async fn hold(&mut self, mut sent: Instant) {
        loop {
            let until = sent + RENEW_DEADLINE;
            self.publish(Some(Holding { term: self.terms, until: Some(until) }));
            match timeout_at(until, self.renew(sent)).await {
                // A renewal that comes to light after the deadline begins a new term.
                Ok(Some(renewed)) if Instant::now() < until => sent = renewed,
                _ => return,
            }
        }
    }

    /// Returns when the next renewal was sent, once it is stored; `None` if another holds the Lease.
    async fn renew(&mut self, last: Instant) -> Option<Instant> {
        // Slow answers do not make it later.
        sleep_until(last + RETRY).await;
        // The version is known from our own write, as long as nobody else writes.
        let mut attempt = self.put().await;
        if matches!(attempt, Attempt::Raced) {
            attempt = self.attempt().await;
        }
        loop {
            match attempt {
                Attempt::Held(sent) => return Some(sent),
                Attempt::Refused => return None,
                Attempt::Raced | Attempt::Failed => sleep(RETRY).await,
            }
            attempt = self.attempt().await;
        }
    }

    /// Reads the Lease, and writes it unless another holds it.
    async fn attempt(&mut self) -> Attempt {
        match call(self.leases.get_opt(&self.name)).await {
            Ok(lease) => self.seen.see(lease, Instant::now()),
            Err(error) => return self.failed(&error),
        }
        if self.seen.is_held_by_another_than(&self.identity, Instant::now()) {
            self.note_answer();
            return Attempt::Refused;
        }
        self.put().await
    }

    /// Writes the Lease as ours, if it is as it was seen.
    async fn put(&mut self) -> Attempt {
        let lease = record::held(self.seen.lease(), &self.name, &self.identity, Timestamp::now());
        let is_new = self.seen.lease().is_none();
        // What is stored may be older than the answer, but not than this.
        let sent = Instant::now();
        let stored = if is_new {
            call(self.leases.create(&params(), &lease)).await
        } else {
            call(self.leases.replace(&self.name, &params(), &lease)).await
        };
        match stored {
            Ok(lease) => {
                self.seen.see(Some(lease), Instant::now());
                self.note_answer();
                Attempt::Held(sent)
            }
            Err(Failure::Api(kube::Error::Api(status))) if status.code == 409 || (status.code == 404 && !is_new) => {
                self.note_answer();
                Attempt::Raced
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Writes that nobody holds the Lease, if we do: also by a write whose answer we have not seen.
    async fn release(&mut self) -> Result<(), Failure> {
        let lease = call(self.leases.get_opt(&self.name)).await?;
        self.seen.see(lease, Instant::now());
        let Some(lease) = self.seen.lease().filter(|_| self.seen.holder() == self.identity) else { return Ok(()) };
        call(self.leases.replace(&self.name, &params(), &record::released(lease, Timestamp::now()))).await?;
        info!(lease = self.name, "lease released");
        Ok(())
    }

    fn failed(&mut self, error: &Failure) -> Attempt {
        self.metrics.lease_failures.inc();
        if !std::mem::replace(&mut self.failing, true) {
            warn!(
                lease = self.name,
                error = telemetry::chain(error),
                "the lease cannot be used, trying again: whoever cannot renew it stops correcting"
            );
        }
        Attempt::Failed
    }

    fn note_answer(&mut self) {
        if std::mem::take(&mut self.failing) {
            info!(lease = self.name, "the lease can be used again");
        }
    }
}

async fn call<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    timeout(CALL_TIMEOUT, call).await.map_err(|_| Failure::Timeout)?.map_err(Failure::Api)
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The Lease as it changes, as long as it can be watched; attempts at intervals do not depend on it. It makes a hand-over
/// take no longer than an event, and tells the moment of the last renewal of a holder that is gone.
fn changes(leases: Api<Lease>, name: String) -> impl Stream<Item = Option<Lease>> {
    let watches = stream::unfold(false, move |again| {
        let (leases, name) = (leases.clone(), name.clone());
        async move {
            if again {
                sleep(RETRY).await;
            }
            let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
            // From any version on: begins with the Lease as it is.
            let events = call(leases.watch(&params, "0")).await.ok().map(StreamExt::boxed);
            Some((events.unwrap_or_else(|| stream::empty().boxed()), true))
        }
    });
    let changes = watches.flatten().filter_map(async |event| match event {
        Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)) => Some(Some(lease)),
        Ok(WatchEvent::Deleted(_)) => Some(None),
        Ok(WatchEvent::Bookmark(_) | WatchEvent::Error(_)) | Err(_) => None,
    });
    Box::pin(changes)
}
