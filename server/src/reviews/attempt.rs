//! An attempt to change a count that was prevented, on its way from the endpoint to the status.

use crate::resources::{Attempt, TargetKey};

/// How many attempts may wait for the executor, at about 300 bytes each. It takes them in within moments. An attempt
/// that finds no room is only counted.
pub const ATTEMPTS: usize = 1024;

/// An attempt to change the count of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetAttempt {
    /// The target.
    pub key: TargetKey,
    /// The attempt.
    pub attempt: Attempt,
}

/// The values of an attempt's `verdict`. They never change, because programs match on them.
pub mod verdicts {
    /// The rest of the write is stored, with the desired count.
    pub const KEPT: &str = "kept";

    /// The write is refused.
    pub const DENIED: &str = "denied";
}
