//! Acquires the Lease, renews it, and releases it.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    calls::{Failure, call, changes, get},
    leadership::{Holding, Leadership},
    lease::{self, LEASE_DURATION, ObservedLease, RENEW_DEADLINE, RETRY},
};
use crate::{
    resources::{Lenient, api_errors},
    runtime::{client::post_params, object_labels::ObjectLabels, pod::PodArgs},
    telemetry::{self, Metrics},
};

/// The longest time for releasing the Lease. If it takes longer, the Lease runs out by itself.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The random part of the pause between attempts to acquire the Lease, in units of [`RETRY`]: it spreads the attempts
/// of many replicas. The value is client-go's.
const JITTER: f64 = 1.2;

/// Whether and how to elect a leader.
#[derive(Args, Clone, Debug)]
pub struct LeaseArgs {
    /// Lease by which replicas elect the one that corrects; empty means that this is the only replica
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) lease: String,
}

/// Takes part in the election for as long as it is polled.
pub(crate) struct Elector {
    leases: Api<Lenient<Lease>>,
    name: String,
    identity: String,
    labels: ObjectLabels,
    observed: ObservedLease,
    holding: watch::Sender<Option<Holding>>,
    terms: u64,
    metrics: Arc<Metrics>,
    /// Whether this replica is blind: it does not know what to enforce, so it does not lead.
    blind: watch::Receiver<bool>,
    /// Whether the latest call failed.
    failing: bool,
}

/// The result of an attempt to acquire or renew the Lease.
enum Attempt {
    /// It is ours, by a write that was sent at this time.
    Held(Instant),
    /// Another replica holds it.
    HeldByAnother,
    /// Another replica wrote at the same time.
    LostRace,
    /// The call failed.
    Failed,
}

impl Elector {
    /// A candidate with a unique name: a restarted container is another candidate. It does not lead while it is `blind`.
    ///
    /// # Errors
    ///
    /// When the namespace is not given.
    pub(crate) fn new(
        client: Client,
        args: &LeaseArgs,
        pod: &PodArgs,
        metrics: Arc<Metrics>,
        blind: watch::Receiver<bool>,
    ) -> Result<(Self, Leadership)> {
        let namespace = &pod.pod_namespace;
        ensure!(!namespace.is_empty(), "LEASE needs POD_NAMESPACE: the namespace that the Lease is in");
        let (sender, receiver) = watch::channel(None);
        let elector = Self {
            leases: Api::namespaced(client, namespace),
            name: args.lease.clone(),
            identity: format!("{}_{:016x}", pod.name(), fastrand::u64(..)),
            labels: pod.object_labels.clone(),
            observed: ObservedLease::default(),
            holding: sender,
            terms: 0,
            metrics,
            blind,
            failing: false,
        };
        Ok((elector, Leadership { holding: receiver }))
    }

    /// Runs until the token is cancelled, and then releases the Lease for others to take at once. All writers must have
    /// stopped before.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.elect()).await;
        self.publish(None);
        self.try_release().await;
    }

    async fn try_release(&mut self) {
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
            if *self.blind.borrow() {
                self.hand_over().await;
            }
            warn!(lease = self.name, holder = self.observed.holder(), "no longer leading");
        }
    }

    /// Releases the Lease while the process goes on. It first waits for the 5 s between [`RENEW_DEADLINE`] and
    /// [`LEASE_DURATION`], so that requests that were already sent can end.
    async fn hand_over(&mut self) {
        warn!(lease = self.name, "handing over: the watch of ReplicaCounts hears nothing from the API server");
        sleep(LEASE_DURATION.saturating_sub(RENEW_DEADLINE)).await;
        self.try_release().await;
    }

    async fn wait_while_blind(&mut self) {
        // The channel cannot close, because the index owns the sender.
        let _ = self.blind.wait_for(|is_blind| !is_blind).await;
    }

    fn publish(&self, holding: Option<Holding>) {
        self.metrics.leader.set(holding.is_some().into());
        self.holding.send_replace(holding);
    }

    /// Tries until the Lease is ours, and returns the time at which that write was sent.
    async fn acquire(&mut self) -> Instant {
        let mut changes = pin!(changes(self.leases.clone(), self.name.clone()));
        loop {
            self.wait_while_blind().await;
            if let Attempt::Held(sent) = self.attempt().await {
                return sent;
            }
            let retry = Instant::now() + RETRY.mul_f64(1.0 + fastrand::f64() * JITTER);
            self.wait(retry, changes.as_mut()).await;
        }
    }

    /// Waits until the next attempt: at `retry`, or as soon as the Lease is free.
    async fn wait(&mut self, retry: Instant, mut changes: impl Stream<Item = Option<Lease>> + Unpin) {
        loop {
            let ends = self.observed.ends().filter(|ends| *ends > Instant::now());
            tokio::select! {
                () = sleep_until(ends.map_or(retry, |ends| ends.min(retry))) => return,
                Some(lease) = changes.next() => {
                    self.observed.observe(lease, Instant::now());
                    if self.observed.holder().is_empty() {
                        return;
                    }
                }
            }
        }
    }

    /// Renews the Lease until no renewal has been stored for too long, another replica holds it, or this one is blind.
    async fn hold(&mut self, mut sent: Instant) {
        let mut blind = self.blind.clone();
        loop {
            let until = sent + RENEW_DEADLINE;
            self.publish(Some(Holding { term: self.terms, until: Some(until) }));
            let renewed = tokio::select! {
                renewed = timeout_at(until, self.renew(sent)) => renewed,
                Ok(_) = blind.wait_for(|is_blind| *is_blind) => return,
            };
            match renewed {
                // An answer that arrives after the deadline does not extend this term: the elector begins a new one.
                Ok(Some(renewed)) if Instant::now() < until => sent = renewed,
                _ => return,
            }
        }
    }

    /// Returns the time at which the next renewal was sent, once it is stored; `None` if another replica holds the
    /// Lease.
    async fn renew(&mut self, last: Instant) -> Option<Instant> {
        // The pause counts from the sending of the last renewal, so slow answers do not delay the next one.
        sleep_until(last + RETRY).await;
        // No read comes first: the answer to our last write has the current version, unless another write came since.
        let mut attempt = self.put().await;
        if matches!(attempt, Attempt::LostRace) {
            attempt = self.attempt().await;
        }
        loop {
            match attempt {
                Attempt::Held(sent) => return Some(sent),
                Attempt::HeldByAnother => return None,
                Attempt::LostRace | Attempt::Failed => sleep(RETRY).await,
            }
            attempt = self.attempt().await;
        }
    }

    /// Reads the Lease, and writes it unless another replica holds it.
    async fn attempt(&mut self) -> Attempt {
        match get(&self.leases, &self.name).await {
            Ok(lease) => self.observed.observe(lease, Instant::now()),
            Err(error) => return self.record_failure(&error),
        }
        if self.observed.is_held_by_another_than(&self.identity, Instant::now()) {
            self.record_answer();
            return Attempt::HeldByAnother;
        }
        self.put().await
    }

    /// Writes the Lease as ours, unless another write came since it was observed.
    async fn put(&mut self) -> Attempt {
        let mut lease = lease::held(self.observed.lease(), &self.name, &self.identity, Timestamp::now());
        self.labels.add_to(&mut lease.metadata);
        let (lease, is_new) = (Lenient::from(lease), self.observed.lease().is_none());
        // The term counts from here, because the API server stores the Lease after this moment.
        let sent = Instant::now();
        let stored = if is_new {
            call(self.leases.create(&post_params(), &lease)).await
        } else {
            call(self.leases.replace(&self.name, &post_params(), &lease)).await
        };
        match stored.and_then(|lease| Ok(lease.read()?)) {
            Ok(lease) => {
                self.observed.observe(Some(lease), Instant::now());
                self.record_answer();
                Attempt::Held(sent)
            }
            // A Lease that somebody deleted is not found.
            Err(Failure::Api(kube::Error::Api(status)))
                if api_errors::is_lost_race(&status) || (status.is_not_found() && !is_new) =>
            {
                self.record_answer();
                Attempt::LostRace
            }
            Err(error) => self.record_failure(&error),
        }
    }

    /// Writes that the Lease has no holder, if this replica holds it. It reads the Lease first, because a write whose
    /// answer was lost may have made this replica the holder.
    async fn release(&mut self) -> Result<(), Failure> {
        let lease = get(&self.leases, &self.name).await?;
        self.observed.observe(lease, Instant::now());
        let Some(lease) = self.observed.lease().filter(|_| self.observed.holder() == self.identity) else {
            return Ok(());
        };
        let released = Lenient::from(lease::released(lease, Timestamp::now()));
        call(self.leases.replace(&self.name, &post_params(), &released)).await?;
        info!(lease = self.name, "lease released");
        Ok(())
    }

    fn record_failure(&mut self, error: &Failure) -> Attempt {
        self.metrics.lease_failures.inc();
        if !std::mem::replace(&mut self.failing, true) {
            warn!(
                lease = self.name,
                error = telemetry::chain(error),
                "the lease cannot be used, trying again: a leader that cannot renew it stops correcting"
            );
        }
        Attempt::Failed
    }

    fn record_answer(&mut self) {
        if std::mem::take(&mut self.failing) {
            info!(lease = self.name, "the lease can be used again");
        }
    }
}
