//! The condition types and reasons in the status of a `ReplicaCount`. They never change, because programs match on
//! them.

/// The target is at its desired count, and at least as many replicas are ready.
pub const READY: &str = "Ready";

/// The target exists.
pub const TARGET_FOUND: &str = "TargetFound";

/// An autoscaler or another program keeps changing the count too.
pub const CONTESTED: &str = "Contested";

/// The values of a condition's `status` (metav1.ConditionStatus).
pub mod statuses {
    /// The condition holds.
    pub const TRUE: &str = "True";

    /// The condition does not hold.
    pub const FALSE: &str = "False";

    /// The server cannot find out whether the condition holds.
    pub const UNKNOWN: &str = "Unknown";
}

/// The reasons of the conditions, and of Events about targets. Those without a condition type belong to `Ready` and
/// `TargetFound`.
pub mod reasons {
    /// The watch of the kind has not delivered its first list.
    pub const KIND_NOT_LISTED: &str = "KindNotListed";

    /// The API server serves no such kind.
    pub const KIND_NOT_SERVED: &str = "KindNotServed";

    /// Objects of the kind cannot be scaled.
    pub const KIND_NOT_SCALABLE: &str = "KindNotScalable";

    /// The API server failed to say how it serves the kind, or the first list of the kind failed.
    pub const KIND_UNKNOWN: &str = "KindUnknown";

    /// The server's account may not list or watch the kind.
    pub const FORBIDDEN: &str = "Forbidden";

    /// The watch of the kind has been failing for a while, so the target's state may be out of date.
    pub const WATCH_FAILING: &str = "WatchFailing";

    /// The server watches as many kinds as it can.
    pub const TOO_MANY_KINDS: &str = "TooManyKinds";

    /// The watch of the kind has ended, which a watch never does.
    pub const WATCH_ENDED: &str = "WatchEnded";

    /// `Ready`: the target is at its desired count, and at least as many replicas are ready.
    pub const IN_PLACE: &str = "InPlace";

    /// `Ready`: the target is not at its desired count, and the server is about to write it.
    pub const CORRECTING: &str = "Correcting";

    /// `Ready`: the last correction failed. The server tries again.
    pub const CORRECTION_FAILED: &str = "CorrectionFailed";

    /// `Ready`, and an Event: admission changed the count of the last correction. The server tries again.
    pub const COUNT_CHANGED_BY_ADMISSION: &str = "CountChangedByAdmission";

    /// `Ready`: the target is at its desired count, which was lowered, and more replicas are still ready.
    pub const SCALING_DOWN: &str = "ScalingDown";

    /// `Ready`: the target is at its desired count, but fewer replicas are ready.
    pub const REPLICAS_NOT_READY: &str = "ReplicasNotReady";

    /// `Ready`: the desired count is above the server's maximum, so the server does not enforce it.
    pub const ABOVE_MAXIMUM: &str = "AboveMaximum";

    /// `Ready`: another object, such as a Deployment, controls the target and decides its count.
    pub const CONTROLLED: &str = "Controlled";

    /// `Ready`: an override has ended, and it ends the management of the target.
    pub const OVERRIDE_ENDED: &str = "OverrideEnded";

    /// `Ready`: the count from before is in place, and the management of the target ends.
    pub const RESTORED: &str = "Restored";

    /// `Ready`: the target does not exist. The server holds its count once it appears.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";

    /// `Ready`: the target is being deleted.
    pub const TARGET_TERMINATING: &str = "TargetTerminating";

    /// `TargetFound`: the target exists.
    pub const FOUND: &str = "Found";

    /// `TargetFound`: the target does not exist.
    pub const NOT_FOUND: &str = "NotFound";

    /// `Contested`, and an Event: a HorizontalPodAutoscaler scales the target too.
    pub const AUTOSCALED: &str = "Autoscaled";

    /// `Contested`, and an Event: one actor keeps undoing corrections.
    pub const REPEATED_DRIFT: &str = "RepeatedDrift";

    /// `Contested`: no autoscaler and no other program keeps changing the count.
    pub const UNCONTESTED: &str = "Uncontested";

    /// Only an Event: the server has put the count back after a drift.
    pub const REPLICAS_PUT_BACK: &str = "ReplicasPutBack";

    /// Only an Event: the target is no longer managed.
    pub const UNMANAGED: &str = "Unmanaged";

    /// Only an Event: the server cannot read a `ReplicaCount`, so it does not enforce it.
    pub const UNREADABLE: &str = "Unreadable";
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_lists_each_reason() {
        let document = include_str!("../../../docs/conditions.md");
        let source = include_str!("conditions.rs");
        let reasons = source.split_once("pub mod reasons").unwrap().1.split_once("#[cfg(test)]").unwrap().0;
        let reasons: Vec<_> = reasons.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert!(reasons.len() > 20, "{reasons:?}");
        let rows: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let is_listed = |reason: &str| {
            let name = format!("`{reason}`");
            rows.iter().any(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(&name)))
        };
        for reason in &reasons {
            assert!(is_listed(reason), "docs/conditions.md does not list {reason}");
        }
        for row in rows {
            let names = row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2);
            for name in names {
                assert!(reasons.contains(&name), "there is no reason {name}");
            }
        }
    }
}
