//! What the state of one target calls for.

use super::observation::Observation;
use crate::{index::KindState, resources::TargetState};

/// A correction that the API server has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCorrection {
    /// The count that was stored, in replicas.
    pub to: i32,
    /// The target's resource version with it.
    pub version: u64,
}

/// What the state of a target calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assessment {
    /// Nothing: the target has its desired count.
    InPlace,
    /// Nothing yet: the target does not exist, is unknown, or is being deleted. Or nothing any more: the `ReplicaCount` is
    /// being deleted.
    #[default]
    Await,
    /// A correction to this count, in replicas.
    Correct(i32),
    /// Nothing: this desired count, in replicas, is above the server's maximum.
    AboveMaximum(i32),
    /// Nothing: the targets of this kind cannot be watched.
    KindUnavailable,
    /// Nothing: another object decides the count, as a Deployment does for its ReplicaSets.
    Controlled,
    /// A give-back of ownership, and then the deletion of the `ReplicaCount`.
    Ending,
    /// The deletion of the `ReplicaCount`: its override, which has `thenUnset`, has ended, or the count from before is
    /// in place.
    Unset,
}

impl Assessment {
    /// Whether it calls for a write.
    pub fn needs_write(self) -> bool {
        matches!(self, Self::Correct(_) | Self::Ending | Self::Unset)
    }

    /// Whether the server leaves the count to others although one is desired. Then a change of the count is no drift.
    pub fn is_left_alone(self) -> bool {
        matches!(self, Self::AboveMaximum(_) | Self::Controlled)
    }
}

/// Assesses a state, given the desired count and the latest correction of ours.
pub fn assess(observation: &Observation, desired: Option<i32>, last: Option<LastCorrection>) -> Assessment {
    // It waits for a finalizer, and manages nothing any more.
    if observation.count.deleting {
        return Assessment::Await;
    }
    let Some(desired) = desired else { return Assessment::Unset };
    let kind = match &observation.kind {
        KindState::Unavailable(_) => return Assessment::KindUnavailable,
        KindState::Unlisted => None,
        // While the watch fails, the server corrects by the latest known state: a late correction is better than none.
        KindState::Watched(kind) | KindState::Failing(kind, _) => Some(kind),
    };
    if desired > observation.max_replicas {
        return Assessment::AboveMaximum(desired);
    }
    let (Some(target), Some(kind)) = (&observation.target, kind) else { return Assessment::Await };
    if target.deleting {
        Assessment::Await
    } else if kind.group_kind.is_left_to_controllers() && target.controller.is_some() {
        Assessment::Controlled
    } else if effective_count(target, last) == Some(desired) {
        Assessment::InPlace
    } else {
        Assessment::Correct(desired)
    }
}

/// The target's count as far as is known, in replicas.
///
/// A state up to and including the version of our latest correction is older than the correction, or shows its result.
/// So the count of the correction is used. One drift therefore costs one write. If the count itself cannot be read,
/// each new state of the target costs one write, which changes nothing.
pub fn effective_count(target: &TargetState, last: Option<LastCorrection>) -> Option<i32> {
    match last {
        Some(last) if target.resource_version <= last.version => Some(last.to),
        _ => target.replicas,
    }
}

#[cfg(test)]
mod tests;
