//! Converts what the index knows of a target to messages of `replicas.v1`.

use contract::replicas::v1;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::{
    index::TargetSnapshot,
    resources::{Attempt, Change, Condition, Drift, Drifter, Override, TargetKey},
};

/// Converts a target and its `ReplicaCount`, if it has one.
///
/// The current counts are the index's. The history is the status's, which the leader writes a moment later.
pub(super) fn replica_count(snapshot: &TargetSnapshot, now: Timestamp) -> v1::ReplicaCount {
    let unmanaged = v1::ReplicaCount {
        target: Some(target(&snapshot.key)),
        observed: snapshot.target.as_ref().and_then(|target| target.replicas),
        ready: snapshot.target.as_ref().and_then(|target| target.ready),
        target_resource_version: snapshot
            .target
            .as_ref()
            .map(|target| target.resource_version.to_string())
            .unwrap_or_default(),
        ..v1::ReplicaCount::default()
    };
    let Some(count) = &snapshot.count else { return unmanaged };
    let status = &count.status;
    v1::ReplicaCount {
        desired: count.desired(now),
        replicas: Some(count.spec.replicas),
        original_replicas: count.spec.original_replicas,
        reason: count.spec.reason.clone(),
        set_by: count.writers.replicas.to_string(),
        r#override: count.spec.override_.as_ref().map(override_),
        drifts: status.drifts,
        last_drift: status.last_drift.as_deref().map(drift),
        appliers: status.appliers.clone(),
        drifters: status.drifters.iter().map(drifter).collect(),
        changes: status.changes.iter().map(change).collect(),
        conditions: status.conditions.iter().map(condition).collect(),
        resource_version: count.resource_version.to_string(),
        attempts: status.attempts,
        last_attempt: status.last_attempt.as_deref().map(attempt),
        admission: status.admission.clone(),
        ..unmanaged
    }
}

/// Converts a target and its `ReplicaCount` with all of the history that is kept. Lists and watches leave the drifts out.
pub(super) fn with_history(snapshot: &TargetSnapshot, now: Timestamp) -> v1::ReplicaCount {
    let drifts = snapshot.count.iter().flat_map(|count| &count.status.recent_drifts);
    v1::ReplicaCount { recent_drifts: drifts.map(drift).collect(), ..replica_count(snapshot, now) }
}

/// Converts a target's key.
pub(super) fn target(key: &TargetKey) -> v1::Target {
    v1::Target {
        namespace: key.namespace.to_string(),
        group: key.kind.group.to_string(),
        kind: key.kind.kind.to_string(),
        name: key.name.to_string(),
    }
}

fn override_(over: &Override) -> v1::Override {
    v1::Override {
        replicas: Some(over.replicas),
        until: Some(timestamp(over.until.0)),
        reason: over.reason.clone(),
        then_unset: over.then_unset,
    }
}

fn drift(drift: &Drift) -> v1::Drift {
    v1::Drift {
        number: drift.number,
        manager: drift.manager.to_string(),
        operation: drift.operation.to_string(),
        subresource: drift.subresource.to_string(),
        from: drift.from,
        to: drift.to,
        at: Some(micro(&drift.at)),
        corrected_at: drift.corrected_at.as_ref().map(micro),
        user: drift.user.to_string(),
    }
}

fn drifter(drifter: &Drifter) -> v1::Drifter {
    v1::Drifter {
        manager: drifter.manager.clone(),
        count: drifter.count,
        from: drifter.from,
        to: drifter.to,
        last: Some(micro(&drifter.last)),
        user: drifter.user.to_string(),
    }
}

fn attempt(attempt: &Attempt) -> v1::Attempt {
    v1::Attempt {
        user: attempt.user.to_string(),
        manager: attempt.manager.to_string(),
        from: attempt.from,
        to: attempt.to,
        at: Some(micro(&attempt.at)),
        verdict: attempt.verdict.to_string(),
    }
}

fn change(change: &Change) -> v1::Change {
    v1::Change {
        from: change.from,
        to: Some(change.to),
        by: change.by.to_string(),
        reason: change.reason.to_string(),
        at: Some(micro(&change.at)),
        number: change.number,
        field: change.field.to_string(),
    }
}

fn condition(condition: &Condition) -> v1::Condition {
    v1::Condition {
        r#type: condition.type_.to_string(),
        status: condition.status.to_string(),
        reason: condition.reason.to_string(),
        message: condition.message.to_string(),
        last_transition_time: Some(timestamp(condition.last_transition_time.0)),
    }
}

fn micro(time: &MicroTime) -> prost_types::Timestamp {
    timestamp(time.0)
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // jiff rounds the seconds towards zero and has negative nanoseconds before 1970; protobuf rounds down.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}
