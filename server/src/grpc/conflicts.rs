//! Who else decides about a count: a Set by us would be undone, or undo what somebody else means.

use super::error::Error;
use crate::resources::{ReplicaCountState, TargetKey, TargetState};

/// Refuses a target that an autoscaler scales.
pub(super) fn check_autoscaler(key: &TargetKey, autoscaler: Option<&str>) -> Result<(), Error> {
    let Some(autoscaler) = autoscaler else { return Ok(()) };
    let message =
        format!("HorizontalPodAutoscaler {autoscaler} scales {key}: delete it first, or force the count against it");
    Err(Error::Precondition { reason: "AUTOSCALED", message })
}

/// Refuses a ReplicaSet that another object controls, which would put its own count back at once.
pub(super) fn check_controller(key: &TargetKey, target: Option<&TargetState>) -> Result<(), Error> {
    match target.and_then(|target| target.controller.as_deref()) {
        Some(controller) if key.kind.is_replica_set() => {
            let message = format!("{controller} decides about the count of {key}: set that one");
            Err(Error::Precondition { reason: "CONTROLLED", message })
        }
        _ => Ok(()),
    }
}

/// Refuses a `ReplicaCount` that another tool keeps: its next sync would undo what is written here.
pub(super) fn check_managed_by(key: &TargetKey, count: &ReplicaCountState) -> Result<(), Error> {
    let Some(managed_by) = &count.managed_by else { return Ok(()) };
    let name = key.replica_count_name();
    let message =
        format!("ReplicaCount {name} belongs to {managed_by}: change it there, or force the change against it");
    Err(Error::Precondition { reason: "OWNED_BY_OTHER", message })
}
