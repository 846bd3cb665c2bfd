//! What else decides the count.

use super::*;
use crate::{
    enforcement::fixtures::{MAX, watched_replica_sets},
    reviews::Admission,
};

#[test]
fn contention_is_announced_once_and_ends_by_a_decision() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    for step in 1..=3u64 {
        let second = i64::try_from(step).unwrap();
        let decision = managed.see(second, target(10 + 10 * step, 7).scaled_by("helm"));
        assert_eq!(decision.contested.is_some(), step == 3, "{step}");
        assert_eq!(decision.events.contested, decision.contested, "{step}");
        managed.correct(second, 3, 11 + 10 * step);
        managed.see(second, target(11 + 10 * step, 3).scaled_by("replica-count-manager"));
    }
    let decision = managed.decide(4);
    assert_eq!(decision.contested.as_ref().map(|contested| contested.reason), Some("RepeatedDrift"));
    assert_eq!(decision.events.contested, None, "it was announced");
    assert_eq!(&*managed.status(4).conditions[2].status, "True");
    let decision = managed.set(5, json!({"replicas": 3, "reason": "the same count, decided again"}));
    assert_eq!((decision.contested, decision.events.contested), (None, None));
    assert_eq!(&*managed.status(5).conditions[2].reason, "Uncontested");
    let decision = managed.see(6, target(50, 7).scaled_by("helm"));
    assert_eq!(decision.contested, None, "it starts anew");
}

#[test]
fn the_remedy_is_for_the_latest_drift_of_the_opponent() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let drifts = [
        (target(20, 7).scaled_by("kubectl"), None),
        (target(30, 7).scaled_by("kubectl"), None),
        (target(40, 7).applied_by("kubectl", 3, true), Some("somebody applies a manifest")),
        (target(50, 8).applied_by("kubectl", 3, false).scaled_by("eve"), Some("somebody applies a manifest")),
    ];
    for (step, (state, remedy)) in (1..).zip(drifts) {
        let contested = managed.see(step, state).contested.map(|contested| contested.message);
        assert_eq!(contested.is_some(), remedy.is_some(), "{step}");
        if let (Some(message), Some(remedy)) = (contested, remedy) {
            assert!(message.contains(remedy), "{step}: {message}");
        }
        let version = 11 + 10 * u64::try_from(step).unwrap();
        managed.correct(step, 3, version);
        managed.see(step, target(version, 3).scaled_by("replica-count-manager"));
    }
}

#[test]
fn an_autoscaler_contests_the_count() {
    let mut managed = Managed::at(3);
    managed.observation.autoscaler = Some("hpa".into());
    let decision = managed.see(0, target(10, 3));
    let contested = decision.events.contested.unwrap();
    assert_eq!(contested.reason, "Autoscaled");
    assert!(contested.message.contains("HorizontalPodAutoscaler hpa scales this target too"), "{}", contested.message);
    managed.observation.autoscaler = None;
    assert_eq!(managed.decide(1).contested, None);
}

#[test]
fn corrections_during_contention_keep_their_pace() {
    let mut managed = Managed::at(3);
    managed.see(0, target(1, 3));
    for step in 1..=10u64 {
        managed.see(0, target(10 * step, 7).scaled_by("helm"));
        managed.correct(0, 3, 10 * step + 1);
        managed.see(0, target(10 * step + 1, 3).scaled_by("replica-count-manager"));
    }
    let decision = managed.see(1, target(200, 7).scaled_by("helm"));
    assert_eq!((decision.correct, decision.requeue_after), (None, Some(Duration::from_secs(4))));
    assert_eq!(managed.ready(1), "Correcting");
    assert_eq!(corrects_to(managed.decide(5).correct.as_ref()), Some(3));
    let decision = managed.set(2, json!({"replicas": 4}));
    assert_eq!(corrects_to(decision.correct.as_ref()), Some(4), "a new count is put in place at once");
}

#[test]
fn a_decision_made_while_nobody_led_ends_contention() {
    let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 3,
        "drifters": [{"manager": "helm", "count": 3, "from": 3, "to": 7, "last": at(0).to_string()}],
        "conditions": [{"type": "Contested", "status": "True", "reason": "RepeatedDrift",
            "message": "helm keeps changing the count: …", "lastTransitionTime": at(0).to_string()}]});
    for (name, generation, contested) in [("the same spec", 1, true), ("another spec", 2, false)] {
        let mut managed = Managed::with(replica_count(2, generation, json!({"replicas": 3}), status.clone()));
        let decision = managed.see(1, target(20, 3));
        assert_eq!(decision.contested.is_some(), contested, "{name}");
    }
}

#[test]
fn a_count_that_is_left_alone_neither_drifts_nor_is_contested() {
    struct Row {
        name: &'static str,
        desired: i32,
        controller: Option<&'static str>,
        drifts: i64,
        /// The reason of `Contested`: after the drifts, with an autoscaler, and with an autoscaler and the guard.
        contested: [&'static str; 3],
    }
    let uncontested = ["Uncontested"; 3];
    for row in [
        Row {
            name: "held",
            desired: 3,
            controller: None,
            drifts: 4,
            contested: ["RepeatedDrift", "Autoscaled", "RepeatedDrift"],
        },
        Row { name: "above the maximum", desired: MAX + 1, controller: None, drifts: 0, contested: uncontested },
        Row {
            name: "a Deployment decides",
            desired: 3,
            controller: Some("Deployment web"),
            drifts: 0,
            contested: uncontested,
        },
    ] {
        let mut managed = Managed::at(row.desired);
        managed.observation.kind = watched_replica_sets();
        for (second, version, replicas) in [(0, 10, 3), (1, 11, 4), (2, 12, 5), (3, 13, 6), (4, 14, 7)] {
            let seen = target(version, replicas).scaled_by("kubectl");
            managed.see(second, row.controller.into_iter().fold(seen, TargetFixture::controlled_by));
        }
        let contested =
            [(None, Admission::Neither), (Some("hpa"), Admission::Neither), (Some("hpa"), Admission::Guarded)].map(
                |(autoscaler, admission)| {
                    managed.observation.autoscaler = autoscaler.map(Into::into);
                    managed.observation.admission = Some(admission);
                    managed.decide(5);
                    managed.status(5).conditions[2].reason.to_string()
                },
            );
        assert_eq!(contested, row.contested, "{}", row.name);
        assert_eq!(managed.status(5).drifts, row.drifts, "{}", row.name);
    }
}
