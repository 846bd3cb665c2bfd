//! The content of the Lease: its holder, how long others must respect it, and what we write. This file has no client.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::resources::{Repair, retain_readable};

/// How long other replicas wait without seeing a renewal before they take the Lease. This, `RENEW_DEADLINE` and `RETRY`
/// are the defaults of Kubernetes' own components. With them, a restart of the API server costs no leader its term.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How long a holder acts after it sent the last renewal that was stored. The rest of [`LEASE_DURATION`] is a reserve
/// for writes under way and for clocks that run at different speeds.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// The pause between two renewals, and, while another replica holds the Lease, the shortest pause between two attempts to
/// acquire it.
pub(super) const RETRY: Duration = Duration::from_secs(2);

impl Repair for Lease {
    /// A time that anybody else wrote must not end the election. The holder's next write replaces it.
    fn repair(object: &mut Value) {
        if let Some(spec) = object.get_mut("spec") {
            retain_readable::<LeaseSpec>(spec);
        }
    }
}

/// The Lease as it was observed last.
#[derive(Default)]
pub(super) struct ObservedLease {
    lease: Option<Lease>,
    /// When its content was first observed, by the clock of this process: the clocks of others may be wrong.
    since: Option<Instant>,
}

impl ObservedLease {
    /// Records the Lease as it is now; `None` if there is none.
    pub(super) fn observe(&mut self, lease: Option<Lease>, now: Instant) {
        let spec = |lease: &Option<Lease>| lease.as_ref().map(|lease| lease.spec.clone());
        // Others may change the metadata: only a change of the spec shows that the holder lives.
        if self.since.is_none() || spec(&lease) != spec(&self.lease) {
            self.since = Some(now);
        }
        self.lease = lease;
    }

    /// The Lease, if there is one.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The holder, even if its time is up; empty if there is none.
    pub(super) fn holder(&self) -> &str {
        let spec = self.lease.as_ref().and_then(|lease| lease.spec.as_ref());
        spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }

    /// When the holder must have stopped, unless it renews; `None` if there is no holder.
    pub(super) fn ends(&self) -> Option<Instant> {
        let spec = self.lease.as_ref()?.spec.as_ref()?;
        let seconds = spec.lease_duration_seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or_default();
        // At least our own duration, even if somebody wrote a shorter one: one of our replicas may rely on ours.
        let duration = Duration::from_secs(seconds).max(LEASE_DURATION);
        self.since.filter(|_| !self.holder().is_empty()).map(|since| since + duration)
    }

    /// Whether another holder than this one may still rely on it.
    pub(super) fn is_held_by_another_than(&self, identity: &str, now: Instant) -> bool {
        self.holder() != identity && self.ends().is_some_and(|ends| now < ends)
    }
}

/// The Lease as its holder writes it. It carries the version that was observed, so the API server refuses it with a
/// conflict if somebody has written the Lease since.
pub(super) fn held(observed: Option<&Lease>, name: &str, identity: &str, now: Timestamp) -> Lease {
    let mut lease = observed.cloned().unwrap_or_default();
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

/// The Lease as its holder leaves it: another replica may take it at once.
pub(super) fn released(observed: &Lease, now: Timestamp) -> Lease {
    let transitions = observed.spec.as_ref().and_then(|spec| spec.lease_transitions);
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: transitions,
        ..LeaseSpec::default()
    };
    Lease { spec: Some(spec), ..observed.clone() }
}
