//! What the server knows from its watches: every target of the kinds in use, every `ReplicaCount`, and every
//! autoscaler.
//!
//! `kind_watches` decides which kinds are watched, and `watch_handlers` write into the `Index`. Enforcement
//! receives every event of a managed target, in order. Readers of the API take snapshots and can subscribe to later
//! events.

mod autoscalers;
mod definition;
pub(crate) mod discovery;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod fuzz;
mod intern;
mod kind_health;
mod kind_watch;
pub(crate) mod kind_watches;
mod kinds;
mod objects;
pub mod protobuf;
mod replica_count_handler;
mod replica_sets;
mod served;
pub(crate) mod silence;
mod snapshot;
mod state;
mod store;
mod sync_state;
mod unreadable;
mod unreported;
mod watch_backoff;
mod watch_client;
mod watch_deadlines;
pub(crate) mod watch_handlers;
mod watch_health;
mod watch_loop;
mod watch_source;

pub(crate) use self::snapshot::{Scope, now};
pub use self::{
    snapshot::{Change, KindState, Replaced, ReplacedVersion, TargetSnapshot, Unavailable},
    store::Index,
    unreported::UnreportedState,
    watch_source::WatchSource,
};
