//! The count at which a target is held.

use jiff::Timestamp;

use crate::{
    index::TargetSnapshot,
    resources::conditions::{
        READY,
        reasons::{CORRECTION_FAILED, COUNT_CHANGED_BY_ADMISSION},
    },
};

/// The reasons of `Ready` by which a count may be one that cannot be stored.
const REFUSED: [&str; 2] = [CORRECTION_FAILED, COUNT_CHANGED_BY_ADMISSION];

/// The count at which a target is held now, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The count, in replicas.
    pub(super) desired: i32,
    /// Who set it. Empty if unknown.
    pub(super) set_by: String,
    /// Why. May be empty.
    pub(super) reason: String,
    /// The end of the override, if it is one.
    pub(super) until: Option<Timestamp>,
    /// Whether the latest correction to it failed, or admission changed it, or the latest creation that was kept at it
    /// seems to have failed. A write that is kept at it would fail as a whole.
    pub(super) is_refused: bool,
}

impl Held {
    /// What enforcement would put in place. `None` if it would leave the count alone: the target is not managed, it or its
    /// `ReplicaCount` is being deleted, its kind cannot be watched, another object decides, the override has ended and the
    /// management with it, or the count is above the maximum.
    pub(super) fn of(snapshot: &TargetSnapshot, max_replicas: i32, now: Timestamp) -> Option<Self> {
        let (count, kind) = (snapshot.count.as_ref()?, snapshot.kind.known()?);
        let is_left_alone = snapshot.target.as_ref().is_some_and(|target| {
            target.deleting || target.controller.is_some() && kind.group_kind.is_left_to_controllers()
        });
        let desired = count.desired(now).filter(|desired| *desired <= max_replicas && !is_left_alone)?;
        let (set_by, reason, until) = match count.active_override(now) {
            Some(over) => (&count.writers.override_.replicas, &over.reason, Some(over.until.0)),
            None => (&count.writers.replicas, &count.spec.reason, None),
        };
        let is_refused = count.status.conditions.iter().any(|one| {
            *one.type_ == *READY && one.observed_generation == count.generation && REFUSED.contains(&&*one.reason)
        });
        Some(Self { desired, set_by: set_by.to_string(), reason: reason.clone(), until, is_refused })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        index::KindState,
        resources::{
            TargetKind, TargetState,
            fixtures::{ReplicaCountBuilder, deployment_key},
        },
    };

    fn snapshot(spec: Value) -> TargetSnapshot {
        TargetSnapshot {
            key: deployment_key("web"),
            count: Some(Arc::new(ReplicaCountBuilder::new("web").set_by("alice").spec(spec).state())),
            target: Some(Arc::new(TargetState::default())),
            kind: KindState::Watched(Arc::new(TargetKind::apps()[0].clone())),
            autoscaler: None,
            at: Timestamp::UNIX_EPOCH,
            replaced: None,
        }
    }

    #[test]
    fn a_target_is_held_as_enforcement_holds_it() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let over = |until: &str, then_unset: bool| json!({"override": {"replicas": 9, "until": until, "reason": "sale", "thenUnset": then_unset}});
        let (before, at, after) = ("2026-01-01T11:59:59Z", "2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z");
        let with = |change: fn(&mut TargetSnapshot)| {
            let mut snapshot = snapshot(json!({}));
            change(&mut snapshot);
            snapshot
        };
        let target = |target: TargetState| Some(Arc::new(target));
        let replica_sets = TargetKind::apps()[2].clone();
        let mut controlled = with(|_| ());
        controlled.target = target(TargetState { controller: Some("Deployment web".into()), ..TargetState::default() });
        let of_operator = controlled.clone();
        controlled.kind = KindState::Watched(Arc::new(replica_sets));
        let mut terminating = ReplicaCountBuilder::new("web").state();
        terminating.deleting = true;
        let mut deleting = with(|_| ());
        deleting.target = target(TargetState { deleting: true, ..TargetState::default() });
        for (name, snapshot, expected) in [
            ("a lasting count", snapshot(json!({})), Some(3)),
            ("an override", snapshot(over(after, false)), Some(9)),
            ("an override that ends now", snapshot(over(at, false)), Some(3)),
            ("an override that has ended", snapshot(over(before, false)), Some(3)),
            ("the management has ended", snapshot(over(at, true)), None),
            ("above the maximum", snapshot(json!({"replicas": 101})), None),
            ("not managed", with(|snapshot| snapshot.count = None), None),
            ("not created yet", with(|snapshot| snapshot.target = None), Some(3)),
            ("a kind that is not listed", with(|snapshot| snapshot.kind = KindState::Unlisted), None),
            ("being deleted", deleting, None),
            (
                "its ReplicaCount is being deleted",
                TargetSnapshot { count: Some(Arc::new(terminating)), ..snapshot(json!({})) },
                None,
            ),
            ("a ReplicaSet of a Deployment", controlled, None),
            ("a Deployment of an operator", of_operator, Some(3)),
        ] {
            let held = Held::of(&snapshot, 100, now);
            assert_eq!(held.as_ref().map(|held| held.desired), expected, "{name}");
            let is_override = expected == Some(9);
            assert_eq!(held.is_some_and(|held| held.until.is_some()), is_override, "{name}");
        }
    }

    #[test]
    fn an_override_that_has_ended_for_the_leader_does_not_come_back() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let held = |then_unset: bool, observed: i64, desired: Option<i32>| {
            let over = json!({"replicas": 9, "until": "2026-01-01T12:02:00Z", "thenUnset": then_unset});
            let builder = ReplicaCountBuilder::new("web").generation(2).spec(json!({"override": over}));
            let status = json!({"observedGeneration": observed, "desired": desired});
            let snapshot =
                TargetSnapshot { count: Some(Arc::new(builder.status(status).state())), ..snapshot(json!({})) };
            Held::of(&snapshot, 100, now).map(|held| (held.desired, held.until.is_some()))
        };
        for (name, then_unset, observed, desired, expected) in [
            ("it is in force", false, 2, Some(9), Some((9, true))),
            ("it has ended", false, 2, Some(3), Some((3, false))),
            ("the one before has ended", false, 1, Some(3), Some((9, true))),
            ("the management lasts as long", true, 2, Some(9), Some((9, true))),
            ("the management has ended with it", true, 2, None, None),
        ] {
            assert_eq!(held(then_unset, observed, desired), expected, "{name}");
        }
    }

    #[test]
    fn a_count_that_could_not_be_stored_is_known_until_another_is_set() {
        let refused = |reason: &str, type_: &str, observed: i64| {
            let condition = json!({"type": type_, "status": "False", "reason": reason, "message": "", "observedGeneration": observed, "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let count =
                ReplicaCountBuilder::new("web").generation(2).status(json!({"conditions": [condition]})).state();
            let snapshot = TargetSnapshot { count: Some(Arc::new(count)), ..snapshot(json!({})) };
            Held::of(&snapshot, 100, Timestamp::UNIX_EPOCH).unwrap().is_refused
        };
        for (name, reason, type_, observed, expected) in [
            ("a failed correction", "CorrectionFailed", "Ready", 2, true),
            ("admission changed it", "CountChangedByAdmission", "Ready", 2, true),
            ("replicas that are not ready", "ReplicasNotReady", "Ready", 2, false),
            ("another condition", "CorrectionFailed", "Contested", 2, false),
            ("another count before", "CorrectionFailed", "Ready", 1, false),
        ] {
            assert_eq!(refused(reason, type_, observed), expected, "{name}");
        }
        assert!(!Held::of(&snapshot(json!({})), 100, Timestamp::UNIX_EPOCH).unwrap().is_refused, "not tried yet");
    }
}
