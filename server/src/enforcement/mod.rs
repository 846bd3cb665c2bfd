//! Keeps every managed target at its desired count, while this replica leads ([`crate::leader`]).
//!
//! # Layout
//!
//! One event of a target passes from top to bottom, and answers and timers pass through the same steps:
//!
//! * [`executor`]: takes in an event of the [`crate::index`], and does what was decided
//! * [`observation`]: what is known of the target
//! * [`reconcile`]: the one decision, a pure function
//!   * [`assessment`]: what the state calls for
//!   * [`contention`], [`appliers`], [`history`]: who else writes the count, and who did
//!   * [`changes`]: who changed the spec
//!   * [`drift_end`]: when a drift ends
//!   * [`give_back`]: which ownership is to be given back, and whether the management may end before
//!   * [`remedies`]: what ends contention, for each known tool
//!   * [`decision`]: its result
//! * [`memory`], [`failure`]: what is remembered between two decisions, and the pause after failed writes
//! * [`changed_count`]: a correction that admission changed
//! * [`announced`]: which Events were written lately
//! * [`admission`]: what admission does for each kind in each namespace
//! * [`targets`]: all of this for each managed target
//! * [`workqueue`], [`lane`], [`pace`]: the writes that wait, and how many are under way
//! * [`writes`]: the requests to the API server
//! * [`status`]: the status, built when it is sent

mod admission;
mod announced;
mod appliers;
mod assessment;
mod changed_count;
mod changes;
mod contention;
mod context;
mod decision;
mod drift_end;
mod executor;
mod failure;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fuzz;
mod give_back;
mod history;
mod lane;
mod memory;
mod observation;
mod pace;
mod reconcile;
mod remedies;
mod status;
mod targets;
mod workqueue;
pub mod writes;

pub use self::{
    context::{Context, OwnershipMode},
    executor::run,
};
