//! Checks for others who decide about a count: they would undo a Set, or a Set would undo theirs.

use contract::names::reasons;
use jiff::Timestamp;

use super::error::Error;
use crate::{
    resources::{ReplicaCount, ReplicaCountState, ScaleTargetRef, TargetKey, TargetState},
    reviews::{Admission, AdmissionMode, paused_autoscaler},
};

/// Refuses a count for a target that an autoscaler scales. The guard keeps the autoscaler from changing a count, but only
/// as long as it is held.
pub(super) fn check_autoscaler(
    mode: AdmissionMode,
    is_held: bool,
    key: &TargetKey,
    autoscaler: Option<&str>,
) -> Result<(), Error> {
    let is_paused = is_held && mode == AdmissionMode::Guard;
    let Some(autoscaler) = autoscaler.filter(|_| !is_paused) else { return Ok(()) };
    let message =
        format!("HorizontalPodAutoscaler {autoscaler} scales {key}: delete it first, or force the count against it");
    Err(Error::Precondition { reason: reasons::AUTOSCALED, message })
}

/// The warning about an autoscaler that the guard keeps from changing the count. Whether the guard covers the namespace and
/// the kind is known once the target is managed and tested.
pub(super) fn paused_autoscaler_warning(autoscaler: &str, count: &ReplicaCountState, now: Timestamp) -> String {
    let paused = paused_autoscaler(autoscaler, count.active_override(now));
    if count.status.admission == Admission::Guarded.label() {
        return paused;
    }
    format!("{paused}, if the guard covers its namespace and kind: `kubectl replicas get` says so")
}

/// Refuses a ReplicaSet or ReplicationController that another object controls: its controller would put its own count
/// back at once.
pub(super) fn check_controller(key: &TargetKey, target: Option<&TargetState>) -> Result<(), Error> {
    match target.and_then(|target| target.controller.as_deref()) {
        Some(controller) if key.kind.is_left_to_controllers() => {
            let message = format!("{controller} controls the count of {key}: set the count of {controller} instead");
            Err(Error::Precondition { reason: reasons::CONTROLLED, message })
        }
        _ => Ok(()),
    }
}

/// The warning about a target that another object controls, as an operator's custom resource does. Whether that object has
/// a count of its own is not known.
pub(super) fn controller_warning(key: &TargetKey, target: Option<&TargetState>) -> Option<String> {
    let controller = target.and_then(|target| target.controller.as_deref())?;
    Some(format!("{controller} controls {key}, and may change its count: if {controller} has a count, set that one"))
}

/// Refuses a `ReplicaCount` that another tool manages: the tool's next sync would undo our write.
pub(super) fn check_managed_by(key: &TargetKey, count: &ReplicaCountState) -> Result<(), Error> {
    let Some(managed_by) = &count.managed_by else { return Ok(()) };
    let name = key.replica_count_name();
    let message =
        format!("ReplicaCount {name} belongs to {managed_by}: change it there, or force the change against it");
    Err(Error::Precondition { reason: reasons::OWNED_BY_OTHER, message })
}

/// Refuses a `ReplicaCount` that is being deleted and waits for a finalizer: it holds no count any more, and goes once the
/// finalizers are gone.
pub(super) fn check_deleting(key: &TargetKey, count: &ReplicaCountState) -> Result<(), Error> {
    let (name, namespace) = (key.replica_count_name(), &key.namespace);
    refuse_deleting(count, || {
        format!(
            "ReplicaCount {name} is being deleted and waits for its finalizers. Try again once it is gone. To see them: \
            `kubectl get replicacount {name} --namespace {namespace} --output=yaml`"
        )
    })
}

/// Refuses to put back the count from before a `ReplicaCount` that is being deleted: the management has ended already.
pub(super) fn check_restorable(key: &TargetKey, count: &ReplicaCountState) -> Result<(), Error> {
    let name = key.replica_count_name();
    refuse_deleting(count, || {
        format!(
            "ReplicaCount {name} is being deleted: the count from before cannot be put back any more. Set the count of \
            {key} itself"
        )
    })
}

fn refuse_deleting(count: &ReplicaCountState, message: impl FnOnce() -> String) -> Result<(), Error> {
    if count.deleting {
        return Err(Error::Precondition { reason: reasons::REPLICA_COUNT_TERMINATING, message: message() });
    }
    Ok(())
}

/// Refuses if the object of this name belongs to another target.
pub(super) fn check_target(key: &TargetKey, count: &ReplicaCount) -> Result<(), Error> {
    if count.target()? == *key {
        return Ok(());
    }
    let ScaleTargetRef { api_version, kind, .. } = &count.spec.scale_target_ref;
    let name = key.replica_count_name();
    let message = format!("ReplicaCount {name} belongs to another target of the same name: {api_version} {kind}");
    Err(Error::Precondition { reason: reasons::NAME_TAKEN, message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::fixtures::{ReplicaCountBuilder, deployment_key};

    #[test]
    fn an_autoscaler_refuses_a_set_unless_the_guard_pauses_it() {
        for (mode, is_refused) in [
            (AdmissionMode::Off, true),
            (AdmissionMode::Record, true),
            (AdmissionMode::Warn, true),
            (AdmissionMode::Guard, false),
        ] {
            let check = |is_held, autoscaler| check_autoscaler(mode, is_held, &deployment_key("web"), autoscaler);
            assert_eq!(check(true, Some("hpa")).is_err(), is_refused, "{}: a count that is held", mode.label());
            assert!(check(false, Some("hpa")).is_err(), "{}: a count that is put back, and not held", mode.label());
            assert!(check(true, None).is_ok(), "{}: no autoscaler", mode.label());
        }
    }

    #[test]
    fn a_terminating_replica_count_says_what_to_do_instead() {
        type Check = fn(&TargetKey, &ReplicaCountState) -> Result<(), Error>;
        let (set, restore): (Check, Check) = (check_deleting, check_restorable);
        for (name, check, advice) in [
            ("a Set", set, "Try again once it is gone. To see them: `kubectl get replicacount deployment.web"),
            ("a restore", restore, "cannot be put back any more. Set the count of deployment.apps/web"),
        ] {
            let mut count = ReplicaCountBuilder::new("web").state();
            assert!(check(&deployment_key("web"), &count).is_ok(), "{name}");
            count.deleting = true;
            let refused = check(&deployment_key("web"), &count).unwrap_err().to_string();
            assert!(refused.contains(advice), "{name}: {refused}");
        }
    }

    #[test]
    fn the_warning_about_a_paused_autoscaler_says_what_is_not_known() {
        for (admission, is_known) in [("guarded", true), ("recorded", false), ("", false)] {
            let count = ReplicaCountBuilder::new("web").status(json!({"admission": admission})).state();
            let warning = paused_autoscaler_warning("hpa", &count, Timestamp::UNIX_EPOCH);
            assert!(warning.starts_with("HorizontalPodAutoscaler hpa is paused"), "{warning}");
            assert_eq!(warning.contains("if the guard covers"), !is_known, "{admission}");
        }
    }
}
