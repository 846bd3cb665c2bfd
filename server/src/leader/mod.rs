//! Elects the one replica that writes to targets and statuses, by a Lease of the API server. All replicas serve.
//!
//! The [`Elector`] acquires and renews the Lease, and publishes this through a [`Leadership`]. A writer waits there for
//! a [`Term`], and writes only while the term lasts.
//!
//! The algorithm is client-go's. A write of the Lease is conditional on the version that was read. A holder stops ten
//! seconds after it *sent* the last renewal that was stored. Another replica waits until it has seen no renewal for
//! fifteen seconds, by its own clock. So the old leader has stopped before the next one starts, however slow the network
//! is and whatever time the clocks show. The clocks need to run at speeds that differ by less than half. A write that is
//! under way when its term ends cannot be called back.

mod calls;
mod elector;
mod leadership;
mod lease;
pub(crate) mod others;
#[cfg(test)]
mod tests;

pub(crate) use self::elector::Elector;
pub use self::{
    elector::LeaseArgs,
    leadership::{Leadership, Term},
    lease::{LEASE_DURATION, RENEW_DEADLINE},
};
