//! The lines that say what was done to targets.

use contract::replicas::v1::{SetReplicaCountRequest, SetReplicaCountResponse, UnsetReplicaCountResponse};

use crate::time::{from_proto, local};

/// The line of a Set.
pub(super) fn set(name: &str, request: &SetReplicaCountRequest, response: &SetReplicaCountResponse) -> String {
    let dry = if request.dry_run { " (server dry run)" } else { "" };
    if response.unchanged {
        return format!("{name} unchanged{dry}\n");
    }
    let desired = response.replica_count.as_ref().and_then(|count| count.desired).or(request.replicas);
    let now = desired.map_or_else(|| "its count".to_owned(), |now| now.to_string());
    let was = response.old_desired.map_or_else(|| "not managed".to_owned(), |old| old.to_string());
    let differs = match response.override_cleared {
        true => ", from an override that is now cleared",
        // The count alone would look unchanged.
        false if desired.is_some() && desired == response.old_desired && request.until.is_none() => {
            ", with another reason or user"
        }
        false => "",
    };
    let until = request.until.as_ref().and_then(from_proto).map(|until| {
        let then = if request.then_unset { ", then unset and left at that count" } else { "" };
        format!(" until {}{then}", local(until))
    });
    format!("{name} set to {now}{} (was {was}{differs}){dry}\n", until.unwrap_or_default())
}

/// The line of an Unset.
pub(super) fn unset(name: &str, response: &UnsetReplicaCountResponse, dry_run: bool) -> String {
    let desired = response.replica_count.as_ref().and_then(|count| count.desired);
    let was = desired.map(|desired| format!(" (was {desired})")).unwrap_or_default();
    let restored = response.restored.map(|restored| format!(", put back to {restored}")).unwrap_or_default();
    let dry = if dry_run { " (server dry run)" } else { "" };
    format!("{name} unset{restored}{was}{dry}\n")
}

/// Sums up what was done to all of several targets.
pub(super) fn summary(all: usize, unchanged: usize, done: &str) -> String {
    let targets = |count: usize| format!("{count} {}", if count == 1 { "target" } else { "targets" });
    match all.saturating_sub(unchanged) {
        0 => format!("{} unchanged", targets(unchanged)),
        changed if unchanged == 0 => format!("{} {done}", targets(changed)),
        changed => format!("{} {done}, {unchanged} unchanged", targets(changed)),
    }
}

/// The counts that a target may have after an Unset: the restored one, or the one that was observed, or the desired one if
/// a correction was still under way. There are none if there is no such target.
pub(super) fn counts_left(response: &UnsetReplicaCountResponse) -> Vec<i32> {
    if let Some(restored) = response.restored {
        return vec![restored];
    }
    let count = response.replica_count.clone().unwrap_or_default();
    let mut counts: Vec<_> = count.observed.into_iter().collect();
    counts.extend(count.observed.and(count.desired).filter(|desired| Some(*desired) != count.observed));
    counts
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::ReplicaCount;

    use super::*;
    use crate::time::to_proto;

    fn response(desired: i32, old_desired: Option<i32>) -> SetReplicaCountResponse {
        let replica_count = Some(ReplicaCount { desired: Some(desired), ..ReplicaCount::default() });
        SetReplicaCountResponse { replica_count, old_desired, ..SetReplicaCountResponse::default() }
    }

    #[test]
    fn the_line_of_a_set_reads_like_one_of_kubectl() {
        let until: jiff::Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let plain = SetReplicaCountRequest::default();
        let dry = SetReplicaCountRequest { dry_run: true, ..plain.clone() };
        let over = SetReplicaCountRequest { until: Some(to_proto(until)), ..plain.clone() };
        let then = SetReplicaCountRequest { then_unset: true, dry_run: true, ..over.clone() };
        let unchanged = || SetReplicaCountResponse { unchanged: true, ..response(3, Some(3)) };
        let cleared = |desired| SetReplicaCountResponse { override_cleared: true, ..response(desired, Some(10)) };
        let end = local(until);
        for (name, (request, response), expected) in [
            ("a count", (&plain, response(3, Some(2))), "web set to 3 (was 2)".to_owned()),
            ("the first count", (&plain, response(3, None)), "web set to 3 (was not managed)".to_owned()),
            ("unchanged", (&plain, unchanged()), "web unchanged".to_owned()),
            ("unchanged in a dry run", (&dry, unchanged()), "web unchanged (server dry run)".to_owned()),
            (
                "another reason or user",
                (&dry, response(3, Some(3))),
                "web set to 3 (was 3, with another reason or user) (server dry run)".to_owned(),
            ),
            (
                "a cleared override",
                (&plain, cleared(3)),
                "web set to 3 (was 10, from an override that is now cleared)".to_owned(),
            ),
            (
                "an override",
                (&then, response(9, Some(3))),
                format!("web set to 9 until {end}, then unset and left at that count (was 3) (server dry run)"),
            ),
        ] {
            assert_eq!(set("web", request, &response), format!("{expected}\n"), "{name}");
        }
    }

    #[test]
    fn the_summary_counts_unchanged_targets_apart() {
        for (all, unchanged, expected) in [
            (2, 0, "2 targets set"),
            (2, 1, "1 target set, 1 unchanged"),
            (5, 2, "3 targets set, 2 unchanged"),
            (2, 2, "2 targets unchanged"),
        ] {
            assert_eq!(summary(all, unchanged, "set"), expected, "{unchanged} of {all}");
        }
    }

    #[test]
    fn the_line_of_an_unset_has_the_previous_and_the_restored_count() {
        let count = ReplicaCount { desired: Some(3), observed: Some(3), ..ReplicaCount::default() };
        let response = UnsetReplicaCountResponse { replica_count: Some(count), ..UnsetReplicaCountResponse::default() };
        assert_eq!(unset("deployment.apps/web", &response, false), "deployment.apps/web unset (was 3)\n");
        let restored = UnsetReplicaCountResponse { restored: Some(2), ..response.clone() };
        assert_eq!(unset("x", &restored, true), "x unset, put back to 2 (was 3) (server dry run)\n");
        let drifting = ReplicaCount { desired: Some(3), observed: Some(5), ..ReplicaCount::default() };
        let missing = ReplicaCount { desired: Some(3), ..ReplicaCount::default() };
        let of = |count| UnsetReplicaCountResponse { replica_count: Some(count), ..response.clone() };
        assert_eq!(counts_left(&response), [3]);
        assert_eq!(counts_left(&restored), [2]);
        assert_eq!(counts_left(&of(drifting)), [5, 3]);
        assert_eq!(counts_left(&of(missing)), [0; 0]);
    }
}
