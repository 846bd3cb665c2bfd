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

    /// `Ready`: the `ReplicaCount` is being deleted, and waits for a finalizer. It holds no count any more.
    pub const REPLICA_COUNT_TERMINATING: &str = "ReplicaCountTerminating";

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

    /// `Contested`: an autoscaler scales the target too, and the guard keeps it from changing the count.
    pub const AUTOSCALER_PAUSED: &str = "AutoscalerPaused";

    /// `Contested`: no autoscaler and no other program keeps changing the count.
    pub const UNCONTESTED: &str = "Uncontested";

    /// Only an Event: the desired count is back in place after a drift.
    pub const REPLICAS_PUT_BACK: &str = "ReplicasPutBack";

    /// Only an Event: the server has prevented a change of the count at admission.
    pub const GUARDED: &str = "Guarded";

    /// Only an Event: the target is no longer managed.
    pub const UNMANAGED: &str = "Unmanaged";

    /// Only an Event: the server cannot read a `ReplicaCount`, so it does not enforce it.
    pub const UNREADABLE: &str = "Unreadable";
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Where each reason is provoked: the file, from the repository's root, and the test.
    const PROVOKED: [(&str, &str, &str); 31] = [
        ("KindNotListed", "server/src/enforcement/status/tests.rs", "an_absent_target_is_awaited"),
        (
            "KindNotServed",
            "tests/custom_resources.rs",
            "a_kind_can_be_defined_deleted_defined_again_and_change_its_version",
        ),
        ("KindNotScalable", "tests/conditions.rs", "a_kind_that_cannot_be_scaled_is_said"),
        ("KindUnknown", "tests/kinds.rs", "api_servers_that_do_not_answer_affect_only_their_own_kinds"),
        (
            "Forbidden",
            "tests/custom_resources.rs",
            "a_kind_can_be_defined_deleted_defined_again_and_change_its_version",
        ),
        ("WatchFailing", "tests/kinds.rs", "a_kind_whose_watch_fails_says_so_until_it_works_again"),
        (
            "TooManyKinds",
            "server/src/index/kind_watches.rs",
            "a_kind_is_watched_if_it_is_served_and_there_are_not_too_many",
        ),
        // kube's watcher never ends, so only the value that the loop returns can be tested.
        ("WatchEnded", "server/src/index/watch_loop.rs", "a_watch_that_ends_has_a_reason"),
        ("InPlace", "tests/conditions.rs", "a_target_comes_and_goes"),
        ("Correcting", "tests/conditions.rs", "a_correction_that_waits_is_said"),
        ("CorrectionFailed", "tests/crash_recovery.rs", "a_restarted_server_makes_the_correction_of_a_killed_one"),
        (
            "CountChangedByAdmission",
            "tests/admission_changes.rs",
            "a_correction_that_a_policy_changes_is_said_and_tried_again",
        ),
        (
            "ScalingDown",
            "tests/custom_resources.rs",
            "the_server_holds_a_count_at_another_path_that_is_absent_at_first",
        ),
        (
            "ReplicasNotReady",
            "tests/custom_resources.rs",
            "the_server_holds_a_kind_like_argo_rollouts_and_gives_ownership_back",
        ),
        ("AboveMaximum", "tests/enforcement.rs", "a_count_above_the_maximum_is_not_enforced"),
        ("Controlled", "tests/custom_resources.rs", "the_server_holds_a_replica_set_unless_a_deployment_controls_it"),
        ("OverrideEnded", "tests/conditions.rs", "the_end_of_the_management_is_said_until_the_object_is_gone"),
        ("Restored", "tests/conditions.rs", "the_end_of_the_management_is_said_until_the_object_is_gone"),
        ("ReplicaCountTerminating", "tests/conditions.rs", "a_replica_count_that_waits_for_a_finalizer_holds_nothing"),
        ("TargetNotFound", "tests/conditions.rs", "a_target_comes_and_goes"),
        ("TargetTerminating", "tests/conditions.rs", "a_target_comes_and_goes"),
        ("Found", "tests/conditions.rs", "a_target_comes_and_goes"),
        ("NotFound", "tests/conditions.rs", "a_target_comes_and_goes"),
        ("Autoscaled", "tests/autoscalers.rs", "a_set_on_an_autoscaled_target_is_refused_unless_it_is_forced"),
        ("RepeatedDrift", "tests/autoscalers.rs", "repeated_drifts_make_a_target_contested_until_the_next_set"),
        ("AutoscalerPaused", "server/src/enforcement/status/tests.rs", "an_autoscaler_of_a_guarded_target_is_paused"),
        ("Uncontested", "tests/conditions.rs", "a_target_comes_and_goes"),
        ("ReplicasPutBack", "tests/enforcement.rs", "a_drift_creates_an_event_for_the_target"),
        ("Guarded", "server/src/enforcement/writes/events/tests.rs", "attempts_are_one_event_for_each_actor_and_count"),
        ("Unmanaged", "tests/unset_restore.rs", "the_end_of_the_management_is_an_event_of_the_target"),
        // No object of this version's CRD is unreadable.
        (
            "Unreadable",
            "server/src/index/unreadable/events.rs",
            "an_event_has_a_name_that_follows_from_the_object_and_the_reason",
        ),
    ];

    /// The reasons in the code.
    fn reasons() -> Vec<&'static str> {
        let source = include_str!("conditions.rs").split_once("pub mod reasons").unwrap().1;
        let constants = source.split_once("#[cfg(test)]").unwrap().0;
        constants.lines().filter_map(|line| line.split('"').nth(1)).collect()
    }

    #[test]
    fn the_document_lists_each_reason() {
        let document = include_str!("../../../docs/conditions.md");
        let rows: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let named = |row: &&'static str| -> Vec<&'static str> {
            row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect()
        };
        let listed: Vec<_> = rows.iter().flat_map(named).collect();
        for reason in reasons() {
            assert!(listed.contains(&reason), "docs/conditions.md does not list {reason}");
        }
        for name in listed {
            assert!(reasons().contains(&name), "there is no reason {name}");
        }
        for row in rows {
            assert_eq!(row.matches(" | ").count(), 3, "what it means and what to do: {row}");
        }
    }

    #[test]
    fn each_reason_is_provoked_by_a_test() {
        let provoked: Vec<_> = PROVOKED.iter().map(|(reason, ..)| *reason).collect();
        for reason in reasons() {
            assert!(provoked.contains(&reason), "no test provokes {reason}");
        }
        for (reason, file, test) in PROVOKED {
            assert!(reasons().contains(&reason), "there is no reason {reason}");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            let source = std::fs::read_to_string(path).unwrap();
            let (_, body) = source.split_once(&format!("fn {test}(")).unwrap_or_else(|| panic!("{file} has no {test}"));
            let body = body.split("#[tokio::test").next().unwrap().split("#[test]").next().unwrap();
            assert!(body.contains(&format!("\"{reason}\"")), "{test} does not name {reason}");
        }
    }
}
