//! What to do about one target: decided from what is known of it, and from nothing else.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    index::KindState,
    resources::{ReplicaCountSpec, TargetState},
};

/// What is known of one managed target.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// What should hold.
    pub spec: &'a ReplicaCountSpec,
    /// The target, if it exists.
    pub target: Option<&'a TargetState>,
    /// Whether the kind's targets are known.
    pub kind: &'a KindState,
    /// The largest count that is enforced, in replicas.
    pub max_replicas: i32,
    /// Our latest correction: its count, in replicas, and the resource version of the target with it.
    pub corrected: Option<(i32, u64)>,
    /// Whether the `ReplicaCount` itself is being deleted, and waits for somebody's finalizer.
    pub ending: bool,
    /// The time.
    pub now: Timestamp,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The target is as it should be.
    Keep,
    /// There is nothing to write to: no such target, or it is being deleted, or it is not known yet.
    Await,
    /// Write this count.
    Correct(i32),
    /// The count is over the maximum, and is not enforced.
    Refuse(i32),
    /// The targets of this kind cannot be known.
    Ignore,
    /// Another object decides about the target's count, as a Deployment does about its ReplicaSets: hold that one.
    LeaveToController,
    /// The override has ended, and the management with it: delete the `ReplicaCount`.
    Unset,
}

impl Observation<'_> {
    /// Decides.
    pub fn plan(&self) -> Plan {
        let Some(desired) = self.spec.desired(self.now) else {
            return if self.ending { Plan::Await } else { Plan::Unset };
        };
        let kind = match self.kind {
            KindState::Unavailable(_) => return Plan::Ignore,
            KindState::Unlisted => None,
            KindState::Watched(kind) => Some(kind),
        };
        if desired > self.max_replicas {
            return Plan::Refuse(desired);
        }
        match (self.target, kind) {
            (None, _) | (_, None) => Plan::Await,
            (Some(target), _) if target.deleting => Plan::Await,
            (Some(target), Some(kind)) if kind.group_kind.is_replica_set() && target.controller.is_some() => {
                Plan::LeaveToController
            }
            (Some(target), _) if self.count_of(target) == Some(desired) => Plan::Keep,
            (Some(_), _) => Plan::Correct(desired),
        }
    }

    /// The target's count as far as is known: a state that is no newer than our latest correction tells nothing new. So
    /// one drift costs one write, also where the count itself cannot be read.
    fn count_of(&self, target: &TargetState) -> Option<i32> {
        match self.corrected {
            Some((to, version)) if target.resource_version <= version => Some(to),
            _ => target.replicas,
        }
    }

    /// When to decide again although nothing happened: at the end of an override.
    pub fn again_in(&self) -> Option<Duration> {
        let until = self.spec.active_override(self.now)?.until.0;
        Some(until.duration_since(self.now).unsigned_abs())
    }
}

/// Whether a new state of a target is a drift, and from which count: somebody else wrote another count than desired.
///
/// `before` is the count in the state before, or, for the first state since the server started, the count that was in
/// place when it stopped. A difference that comes from a new desired count is none: then the target did not change.
/// Neither is a write of `ours`, which tells of those that left no trace in the object.
pub fn drift_from(before: Option<i32>, target: &TargetState, desired: i32, ours: bool) -> Option<i32> {
    let ours = target.owners.last().map_or(ours, |writer| writer.is_ours());
    before.filter(|_| !ours && target.replicas != before && target.replicas != Some(desired))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;
    use std::sync::Arc;

    use crate::{
        index::Unavailable,
        resources::{FieldOwners, Override, ScaleTargetRef, TargetKind},
    };

    const MAX: i32 = 100;

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn spec(replicas: i32, over: Option<(i32, i64, bool)>) -> ReplicaCountSpec {
        ReplicaCountSpec {
            scale_target_ref: ScaleTargetRef {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                name: "web".into(),
            },
            replicas,
            original_replicas: None,
            reason: String::new(),
            override_: over.map(|(replicas, seconds, then_unset)| Override {
                replicas,
                until: Time(now() + Duration::from_secs(1000) - Duration::from_secs((1000 - seconds) as u64)),
                reason: String::new(),
                then_unset,
            }),
        }
    }

    fn target(replicas: i32, version: u64) -> TargetState {
        TargetState { replicas: Some(replicas), resource_version: version, ..TargetState::default() }
    }

    fn watched(index: usize) -> KindState {
        KindState::Watched(Arc::new(TargetKind::apps()[index].clone()))
    }

    fn observation<'a>(
        spec: &'a ReplicaCountSpec,
        target: Option<&'a TargetState>,
        kind: &'a KindState,
    ) -> Observation<'a> {
        Observation { spec, target, kind, max_replicas: MAX, corrected: None, ending: false, now: now() }
    }

    fn plan(spec: &ReplicaCountSpec, target: Option<&TargetState>, corrected: Option<(i32, u64)>) -> Plan {
        Observation { corrected, ..observation(spec, target, &watched(0)) }.plan()
    }

    #[test]
    fn the_plan_follows_from_the_situation() {
        let deleting = TargetState { deleting: true, ..target(7, 5) };
        let unset = TargetState { replicas: None, ..target(0, 5) };
        for (spec, target, corrected, expected) in [
            (spec(3, None), Some(&target(3, 5)), None, Plan::Keep),
            (spec(3, None), Some(&target(7, 5)), None, Plan::Correct(3)),
            (spec(0, None), Some(&target(7, 5)), None, Plan::Correct(0)),
            (spec(3, None), Some(&target(0, 5)), None, Plan::Correct(3)),
            (spec(3, None), Some(&unset), None, Plan::Correct(3)),
            (spec(3, None), Some(&unset), Some((3, 5)), Plan::Keep),
            (spec(3, None), None, None, Plan::Await),
            (spec(3, None), Some(&deleting), None, Plan::Await),
            (spec(3, None), Some(&target(7, 5)), Some((3, 6)), Plan::Keep),
            (spec(4, None), Some(&target(7, 5)), Some((3, 6)), Plan::Correct(4)),
            (spec(3, None), Some(&target(7, 7)), Some((3, 6)), Plan::Correct(3)),
            (spec(MAX + 1, None), Some(&target(7, 5)), None, Plan::Refuse(MAX + 1)),
            (spec(3, Some((9, 1, false))), Some(&target(3, 5)), None, Plan::Correct(9)),
            (spec(3, Some((9, 0, false))), Some(&target(9, 5)), None, Plan::Correct(3)),
            (spec(3, Some((9, 0, true))), Some(&target(9, 5)), None, Plan::Unset),
        ] {
            assert_eq!(plan(&spec, target, corrected), expected, "{spec:?} {target:?} {corrected:?}");
        }
    }

    #[test]
    fn what_is_not_ours_to_do_is_left_alone() {
        let over = spec(3, Some((9, 0, true)));
        let kind = watched(0);
        let ended = Observation { ending: true, ..observation(&over, None, &kind) };
        assert_eq!(ended.plan(), Plan::Await, "the object is being deleted already");
        let unavailable = Unavailable { reason: "Forbidden", message: String::new() };
        let controlled = TargetState { controller: Some("Deployment web".into()), ..target(7, 5) };
        for (target, kind, expected) in [
            (target(7, 5), KindState::Unavailable(Arc::new(unavailable)), Plan::Ignore),
            (target(7, 5), KindState::Unlisted, Plan::Await),
            (controlled.clone(), watched(2), Plan::LeaveToController),
            (controlled, watched(0), Plan::Correct(3)),
            (target(7, 5), watched(2), Plan::Correct(3)),
        ] {
            assert_eq!(observation(&spec(3, None), Some(&target), &kind).plan(), expected, "{target:?} {kind:?}");
        }
    }

    #[test]
    fn the_end_of_an_override_is_the_time_to_decide_again() {
        let again = |over| {
            let spec = spec(3, over);
            observation(&spec, None, &KindState::Unlisted).again_in()
        };
        assert_eq!(again(None), None);
        assert_eq!(again(Some((9, 60, false))), Some(Duration::from_secs(60)));
        assert_eq!(again(Some((9, 0, false))), None);
    }

    #[test]
    fn a_drift_is_a_change_by_somebody_else_to_another_count() {
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
        let written_by = |manager: &str, replicas| {
            let fields = FieldsV1(serde_json::json!({"f:spec": {"f:replicas": {}}}));
            let entry = ManagedFieldsEntry {
                manager: Some(manager.into()),
                fields_v1: Some(fields),
                ..ManagedFieldsEntry::default()
            };
            TargetState {
                owners: FieldOwners::of(&[entry], &crate::resources::FieldPath::replicas()),
                ..target(replicas, 5)
            }
        };
        for (before, now, ours, expected) in [
            (Some(3), written_by("kubectl", 7), false, Some(3)),
            (Some(7), written_by("kubectl", 9), false, Some(7)),
            (Some(7), written_by("kubectl", 3), false, None),
            (Some(7), written_by("kubectl", 7), false, None),
            (Some(3), written_by("kubectl", 7), true, Some(3)),
            (Some(3), written_by("replica-count-manager", 7), false, None),
            (Some(3), target(7, 5), false, Some(3)),
            (Some(3), target(7, 5), true, None),
            (None, written_by("kubectl", 7), false, None),
        ] {
            assert_eq!(drift_from(before, &now, 3, ours), expected, "{before:?} {now:?} {ours}");
        }
    }

    proptest! {
        #[test]
        fn whatever_happened_the_next_plan_leads_to_the_desired_count(
            desired in 0..=MAX, observed in 0..=MAX, version in 1u64..100, corrected in 0u64..100,
        ) {
            let spec = spec(desired, None);
            match plan(&spec, Some(&target(observed, version)), Some((desired, corrected))) {
                Plan::Correct(to) => prop_assert!(to == desired && observed != desired && version > corrected),
                Plan::Keep => prop_assert!(observed == desired || version <= corrected),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
