//! Histories as long as a status holds them.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use replica_count_manager::resources::{Change, Drift, Drifter, ReplicaCountStatus};

use crate::deployments::REPLICAS;

/// How many drifts a status lists, and how many changes.
pub(crate) const LISTED: i64 = 20;

/// The programs that caused the drifts.
const MANAGERS: [&str; 5] = ["helm", "kubectl", "argocd-controller", "kube-controller-manager", "deploy-bot"];

/// Fills the past of a target, with reasons that no other target has. The latest entry is a day old.
pub(crate) fn fill(status: &mut ReplicaCountStatus, target: &str, now: Timestamp) {
    let time = |number: i64| MicroTime(now - SignedDuration::from_hours(24 + 24 * (LISTED - number)));
    let change = |number: i64| Change {
        number,
        field: "replicas".into(),
        from: (number > 1).then_some(REPLICAS + 1 + i32::from(number % 2 == 1)),
        to: if number == LISTED { REPLICAS } else { REPLICAS + 1 + i32::from(number % 2 == 0) },
        by: "alice@example.com".into(),
        reason: format!("night {number} of {target}").into(),
        at: time(number),
    };
    let manager = |number: i64| MANAGERS[usize::try_from(number).unwrap_or_default() % MANAGERS.len()];
    let drift = |number: i64| Drift {
        number,
        manager: manager(number).into(),
        operation: "Update".into(),
        subresource: "scale".into(),
        from: Some(REPLICAS),
        to: Some(REPLICAS + 4),
        at: time(number),
        corrected_at: Some(time(number)),
        user: "alice@example.com".into(),
    };
    status.changes = (1..=LISTED).rev().map(change).collect();
    status.recent_drifts = (1..=LISTED).rev().map(drift).collect();
    status.last_drift = status.recent_drifts.first().cloned().map(Box::new);
    status.drifts = LISTED;
    let drifter = |drift: &Drift| Drifter {
        manager: drift.manager.to_string(),
        count: 4,
        from: drift.from,
        to: drift.to,
        last: drift.at.clone(),
        user: drift.user.clone(),
    };
    status.drifters = status.recent_drifts.iter().take(MANAGERS.len()).map(drifter).collect();
}
