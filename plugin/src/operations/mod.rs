//! The log of the user's own operations, and what takes one of them back.
//!
//! [`log`] reads and writes the file, whose content is in [`operation`]. [`last`] finds the operation to undo, [`reversal`]
//! says what undoes it, and [`past`] finds a count in a target's history.

mod error;
#[cfg(test)]
mod fuzz;
pub(crate) mod last;
pub(crate) mod location;
pub(crate) mod log;
mod operation;
pub(crate) mod past;
pub(crate) mod reversal;

pub(crate) use self::{
    error::{Error, SKIP},
    operation::{Cluster, Operation, State, TargetChange},
};
