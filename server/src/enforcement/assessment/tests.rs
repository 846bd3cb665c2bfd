use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    enforcement::fixtures::{
        MAX, Managed, TargetFixture, at, replica_count, target, watched_deployments, watched_replica_sets,
    },
    index::Unavailable,
};
use std::sync::Arc;

/// A state to assess: held at 3, a Deployment, without a target or a correction.
struct Row {
    name: &'static str,
    spec: Value,
    target: Option<TargetFixture>,
    last: Option<(i32, u64)>,
    kind: KindState,
    is_deleting: bool,
    expected: Assessment,
}

fn row(name: &'static str, expected: Assessment) -> Row {
    let spec = json!({"replicas": 3});
    Row { name, spec, target: None, last: None, kind: watched_deployments(), is_deleting: false, expected }
}

impl Row {
    fn target(self, target: TargetFixture) -> Self {
        Self { target: Some(target), ..self }
    }

    fn spec(self, spec: Value) -> Self {
        Self { spec, ..self }
    }

    /// An override to 9 until a second, beside a lasting count of 3.
    fn overridden(self, until: i64, then_unset: bool) -> Self {
        let over = json!({"replicas": 9, "until": at(until).to_string(), "thenUnset": then_unset});
        self.spec(json!({"replicas": 3, "override": over}))
    }

    fn corrected(self, to: i32, version: u64) -> Self {
        Self { last: Some((to, version)), ..self }
    }

    fn kind(self, kind: KindState) -> Self {
        Self { kind, ..self }
    }

    fn deleting(self) -> Self {
        Self { is_deleting: true, ..self }
    }

    fn check(self) {
        let mut managed = Managed::with(replica_count(1, 1, self.spec, Value::Null));
        managed.observation.target = self.target.map(|target| Arc::new(target.state()));
        managed.observation.kind = self.kind;
        if self.is_deleting {
            let count = Arc::make_mut(&mut managed.observation.count);
            count.deleting = true;
        }
        let last = self.last.map(|(to, version)| LastCorrection { to, version });
        let desired = managed.observation.count.desired(at(0));
        assert_eq!(assess(&managed.observation, desired, last), self.expected, "{}", self.name);
    }
}

#[test]
fn each_state_calls_for_one_thing() {
    use Assessment::{AboveMaximum, Await, Controlled, Correct, InPlace, KindUnavailable, Unset};
    let unavailable = Unavailable { reason: "Forbidden", message: String::new() };
    for row in [
        row("the desired count is there", InPlace).target(target(5, 3)),
        row("another count is there", Correct(3)).target(target(5, 7)),
        row("0 is a count like others", Correct(3)).target(target(5, 0)),
        row("the count cannot be read", Correct(3)).target(target(5, 0).without_count()),
        row("an unreadable count was corrected", InPlace).target(target(5, 0).without_count()).corrected(3, 5),
        row("there is no target", Await),
        row("the target is being deleted", Await).target(target(5, 7).deleting()),
        row("the state predates the correction", InPlace).target(target(5, 7)).corrected(3, 6),
        row("the state is the correction's echo", InPlace).target(target(6, 3)).corrected(3, 6),
        row("another count was corrected to", Correct(4))
            .spec(json!({"replicas": 4}))
            .target(target(5, 7))
            .corrected(3, 6),
        row("the target changed after the correction", Correct(3)).target(target(7, 7)).corrected(3, 6),
        row("the maximum is allowed", Correct(MAX)).spec(json!({"replicas": MAX})).target(target(5, 7)),
        row("more than the maximum", AboveMaximum(MAX + 1)).spec(json!({"replicas": MAX + 1})).target(target(5, 7)),
        row("an override lasts", Correct(9)).overridden(1, false).target(target(5, 3)),
        row("an override has ended", Correct(3)).overridden(0, false).target(target(5, 9)),
        row("an override has ended the management", Unset).overridden(0, true).target(target(5, 9)),
        row("the ReplicaCount is being deleted already", Await).overridden(0, true).target(target(5, 9)).deleting(),
        row("a ReplicaCount that waits for a finalizer holds nothing", Await).target(target(5, 7)).deleting(),
        row("whatever it says", Await).spec(json!({"replicas": MAX + 1})).target(target(5, 7)).deleting(),
        row("the kind is unavailable", KindUnavailable)
            .target(target(5, 7))
            .kind(KindState::Unavailable(Arc::new(unavailable))),
        row("the kind is not listed yet", Await).target(target(5, 7)).kind(KindState::Unlisted),
        row("a ReplicaSet of a Deployment", Controlled)
            .target(target(5, 7).controlled_by("Deployment web"))
            .kind(watched_replica_sets()),
        row("a ReplicaSet of its own", Correct(3)).target(target(5, 7)).kind(watched_replica_sets()),
        row("another kind with a controller", Correct(3)).target(target(5, 7).controlled_by("Operator x")),
    ] {
        row.check();
    }
}

#[test]
fn corrections_and_deletions_are_writes() {
    for (assessment, expected) in [
        (Assessment::Correct(3), true),
        (Assessment::Unset, true),
        (Assessment::InPlace, false),
        (Assessment::Await, false),
        (Assessment::Controlled, false),
        (Assessment::AboveMaximum(3), false),
        (Assessment::KindUnavailable, false),
    ] {
        assert_eq!(assessment.needs_write(), expected, "{assessment:?}");
    }
}

proptest! {
    #[test]
    fn every_assessment_leads_to_the_desired_count(
        desired in 0..=MAX, observed in 0..=MAX, version in 1u64..100, corrected in 0u64..100,
    ) {
        let mut managed = Managed::at(desired);
        managed.observation.target = Some(Arc::new(target(version, observed).state()));
        let last = LastCorrection { to: desired, version: corrected };
        match assess(&managed.observation, Some(desired), Some(last)) {
            Assessment::Correct(to) => prop_assert!(to == desired && observed != desired && version > corrected),
            Assessment::InPlace => prop_assert!(observed == desired || version <= corrected),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
