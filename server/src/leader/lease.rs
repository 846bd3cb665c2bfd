//! What a Lease says, how long another replica may rely on it, and what to write into it: decided without a client.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use tokio::time::Instant;

use super::LEASE_DURATION;

/// The Lease as it was seen last.
#[derive(Default)]
pub struct ObservedLease {
    lease: Option<Lease>,
    /// When its content was first seen, by the clock of this process: those of others may be wrong.
    since: Option<Instant>,
}

impl ObservedLease {
    /// Takes in the Lease as it is now; `None` if there is none.
    pub fn see(&mut self, lease: Option<Lease>, now: Instant) {
        let spec = |lease: &Option<Lease>| lease.as_ref().map(|lease| lease.spec.clone());
        // A label on the Lease is no sign of life of its holder.
        if self.since.is_none() || spec(&lease) != spec(&self.lease) {
            self.since = Some(now);
        }
        self.lease = lease;
    }

    /// The Lease, if there is one.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Who holds it, whether or not its time is up; empty if nobody does.
    pub fn holder(&self) -> &str {
        let spec = self.lease.as_ref().and_then(|lease| lease.spec.as_ref());
        spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }

    /// When whoever holds it must have stopped, unless it is renewed; `None` if nobody holds it.
    pub fn ends(&self) -> Option<Instant> {
        let spec = self.lease.as_ref()?.spec.as_ref()?;
        let seconds = spec.lease_duration_seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or_default();
        // Never less than our own: whatever somebody writes into it, a replica of ours holds for that long.
        let duration = Duration::from_secs(seconds).max(LEASE_DURATION);
        self.since.filter(|_| !self.holder().is_empty()).map(|since| since + duration)
    }

    /// Whether one that is not this holder may still rely on it.
    pub fn is_held_by_another_than(&self, identity: &str, now: Instant) -> bool {
        self.holder() != identity && self.ends().is_some_and(|ends| now < ends)
    }
}

/// The Lease as its holder writes it: with the version that was seen, which makes a write in between a conflict.
pub fn held(seen: Option<&Lease>, name: &str, identity: &str, now: Timestamp) -> Lease {
    let mut lease = seen.cloned().unwrap_or_default();
    lease.metadata.name = Some(name.to_owned());
    let renews = lease.spec.as_ref().is_some_and(|spec| spec.holder_identity.as_deref() == Some(identity));
    let before = lease.spec.take();
    let new = before.is_none();
    let LeaseSpec { acquire_time, lease_transitions, .. } = before.unwrap_or_default();
    let transitions = lease_transitions.unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: acquire_time.filter(|_| renews).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if renews || new { transitions } else { transitions.saturating_add(1) }),
        ..LeaseSpec::default()
    });
    lease
}

/// The Lease as its holder leaves it: anybody may take it at once.
pub fn released(seen: &Lease, now: Timestamp) -> Lease {
    let transitions = seen.spec.as_ref().and_then(|spec| spec.lease_transitions);
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: transitions,
        ..LeaseSpec::default()
    };
    Lease { spec: Some(spec), ..seen.clone() }
}
