//! What is known of one managed target at the moment at which it is reconciled.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    index::KindState,
    resources::{ReplicaCountState, TargetState},
};

/// The time of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock, which the status shows.
    pub wall: Timestamp,
    /// The monotonic clock: pauses after failures are measured by it.
    pub monotonic: Instant,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self { wall: crate::index::now(), monotonic: Instant::now() }
    }
}

/// The latest state of one managed target, as the watches delivered it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The `ReplicaCount`.
    pub count: Arc<ReplicaCountState>,
    /// The target, if it exists.
    pub target: Option<Arc<TargetState>>,
    /// Whether the target's kind is watched. Only then does an absent target mean that it does not exist.
    pub kind: KindState,
    /// The HorizontalPodAutoscaler that scales the target.
    pub autoscaler: Option<Arc<str>>,
    /// Until when this state is known to be current. That is the time of its snapshot. When a timer fires, all waiting
    /// events have been observed, so it is the present time. Overrides are compared with it, so the server never ends
    /// an override while an event with a newer spec is still queued.
    pub at: Timestamp,
    /// The largest count that the server enforces, in replicas.
    pub max_replicas: i32,
}
