mod others;
mod outlook;

use contract::replicas::v1::{Change, Condition, Override, Target};

use super::*;
use crate::{commands::explain::facts::Rights, kubernetes::TargetObject, time::to_proto};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// The time this many seconds from now.
fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(to_proto(Timestamp::from_second(1_000_000 + seconds).unwrap()))
}

/// A Deployment with three replicas that nothing holds.
fn unmanaged() -> Facts {
    let [namespace, group, kind, name] = ["shop", "apps", "Deployment", "web"].map(str::to_owned);
    let target = Target { namespace, group, kind, name };
    let writer = Writer {
        manager: "helm".to_owned(),
        operation: "Apply".to_owned(),
        subresource: String::new(),
        at: Some(now() - std::time::Duration::from_secs(14_400)),
    };
    let object = TargetObject {
        replicas: Some(3),
        ready: Some(3),
        last_writer: Some(writer),
        appliers: vec!["helm".to_owned()],
        ..TargetObject::default()
    };
    let rights =
        Rights { user: "alice".to_owned(), server_user: "alice".to_owned(), set: true, unset: true, scale: true };
    Facts {
        target: target.clone(),
        count: ReplicaCount { target: Some(target), observed: Some(3), ready: Some(3), ..ReplicaCount::default() },
        hidden: None,
        object: Ok(Some(object)),
        autoscalers: Ok(Vec::new()),
        pods: Ok(Vec::new()),
        keeper: Ok(None),
        rights: Ok(rights),
        is_guarding: false,
    }
}

/// The same Deployment, held at three replicas.
fn managed() -> Facts {
    let mut facts = unmanaged();
    let change = Change {
        field: "replicas".to_owned(),
        to: Some(3),
        by: "alice".to_owned(),
        at: at(-10_800),
        ..Change::default()
    };
    facts.count = ReplicaCount {
        desired: Some(3),
        replicas: Some(3),
        original_replicas: Some(2),
        set_by: "alice".to_owned(),
        reason: "load test".to_owned(),
        appliers: vec!["helm".to_owned()],
        changes: vec![change],
        ..facts.count
    };
    facts
}

fn condition(r#type: &str, status: &str, reason: &str, message: &str) -> Condition {
    let [r#type, status, reason, message] = [r#type, status, reason, message].map(str::to_owned);
    Condition { r#type, status, reason, message, ..Condition::default() }
}

#[test]
fn a_managed_target_is_explained() {
    let expected = "\
deployment.apps/web in the namespace shop is held at 3 replicas: its spec has them, and all are ready.

Why this count:
  alice set the lasting count to 3 3h ago: load test.
  Before it was managed, it had 2 replicas.

Who else writes it:
  helm applies the count, and gets its ownership back after each correction.

What you may do:
  alice may set it and unset it.
  alice may scale the target itself, but the server undoes that.

What happens next:
  If the next run of helm brings another count, the server puts 3 back at once.
";
    assert_eq!(text(&managed(), now()), expected);
}

#[test]
fn an_unmanaged_target_is_explained() {
    let expected = "\
deployment.apps/web in the namespace shop is not managed. Its spec has 3 replicas, and all are ready.

Why this count:
  helm wrote the count last 4h ago, by server-side apply.

Who else writes it:
  helm applies the count, and writes it again at its next run.

What you may do:
  alice may set it.
  alice may scale the target itself.

What happens next:
  Each writer may change the count, and nothing puts it back.
  `kubectl replicas set deployment.apps/web 3 -n shop` holds it at this count.
  Before that, leave the count out of what helm applies, or the two contend.
";
    assert_eq!(text(&unmanaged(), now()), expected);
}

/// Checks that each explanation has its sentence.
fn check(rows: &[(&str, String, &str)]) {
    for (name, text, sentence) in rows {
        assert!(text.contains(sentence), "{name}: {sentence:?} is missing in {text}");
    }
}

/// The explanation of the managed Deployment after a change.
fn changed(change: fn(&mut Facts)) -> String {
    let mut facts = managed();
    change(&mut facts);
    text(&facts, now())
}

fn object(facts: &mut Facts) -> &mut TargetObject {
    facts.object.as_mut().unwrap().as_mut().unwrap()
}

#[test]
fn an_override_is_explained_with_its_end() {
    let end = local_minute(now() + std::time::Duration::from_secs(14_400));
    let with_override = |then_unset| {
        let mut facts = managed();
        let over = Override { replicas: Some(10), until: at(14_400), reason: "sale".to_owned(), then_unset };
        (facts.count.desired, facts.count.r#override) = (Some(10), Some(over));
        text(&facts, now())
    };
    let ended = changed(|facts| facts.count.r#override = Some(Override { until: at(-14_400), ..Override::default() }));
    check(&[
        ("why", with_override(false), &format!("An override of 10 holds until {end} (in 4h): sale.")),
        ("next", with_override(false), &format!("At {end} the override ends, and 3 holds again.")),
        ("unset", with_override(true), &format!("At {end} the override ends, and it is no longer managed.")),
        ("not in place", with_override(false), "should have 10 replicas, but its spec has 3, and all are ready."),
        ("ended", ended, "An override of 0 ended 4h ago."),
    ]);
}

#[test]
fn what_is_wrong_is_said() {
    let contested = changed(|facts| {
        facts.count.conditions = vec![
            condition("Ready", "False", "ReplicasNotReady", "1 of 3 replicas are ready"),
            condition("Contested", "True", "RepeatedDrift", "kubectl keeps changing the count"),
        ];
        facts.count.ready = Some(1);
        facts.pods = Ok(vec!["2 pods: ImagePullBackOff".to_owned()]);
    });
    let missing = changed(|facts| (facts.object, facts.count.observed) = (Ok(None), None));
    check(&[
        ("not ready", contested.clone(), "It is not ready: ReplicasNotReady: 1 of 3 replicas are ready."),
        ("count", contested.clone(), "its spec has them, and 1 is ready."),
        ("pods", contested.clone(), "  2 pods: ImagePullBackOff.\n"),
        ("contested", contested, "It is contested: kubectl keeps changing the count."),
        ("no target", missing.clone(), "should have 3 replicas, but does not exist."),
        ("once it is there", missing, "Once the target is created, it gets 3 replicas."),
    ]);
}

#[test]
fn a_target_without_a_count_or_an_object_cannot_be_scaled() {
    let unscalable = changed(|facts| {
        let why = "DaemonSet.apps cannot be scaled";
        facts.target.kind = "DaemonSet".to_owned();
        (facts.object, facts.count.observed) = (Ok(None), None);
        facts.count.conditions = vec![
            condition("Ready", "False", "KindNotScalable", why),
            condition("TargetFound", "Unknown", "KindNotScalable", why),
        ];
    });
    let missing = changed(|facts| (facts.object, facts.count.observed) = (Ok(None), None));
    check(&[
        ("headline", unscalable.clone(), "shop should have 3 replicas, but its kind cannot be scaled.\n"),
        (
            "next",
            unscalable.clone(),
            "No count of such a target can be held. To stop managing it: `kubectl replicas unset",
        ),
    ]);
    for (name, text, parts) in [
        ("a kind without a count", unscalable, ["does not exist", "Once the target", "scale the target itself"]),
        ("a missing target", missing, ["puts 3 back", "the server undoes", "scale the target itself"]),
    ] {
        assert!(!parts.iter().any(|part| text.contains(part)), "{name}: {text}");
    }
}

#[test]
fn what_speaks_against_holding_a_target_is_said() {
    let changed = |change: fn(&mut Facts)| {
        let mut facts = unmanaged();
        change(&mut facts);
        text(&facts, now())
    };
    let scaled = changed(|facts| facts.autoscalers = Ok(vec!["web-cpu".to_owned()]));
    let operated = changed(|facts| object(facts).controller = Some("Kafka events".to_owned()));
    let of_deployment = changed(|facts| {
        facts.target.kind = "ReplicaSet".to_owned();
        object(facts).controller = Some("Deployment web".to_owned());
    });
    let unknown = changed(|facts| object(facts).last_writer = None);
    check(&[
        ("an autoscaler", scaled, "is refused because of HorizontalPodAutoscaler web-cpu: delete it first."),
        ("an operator", operated, "If Kafka events then changes it, the server puts it back."),
        ("a Deployment", of_deployment, "is refused: set the count of Deployment web instead."),
        ("an unknown writer", unknown, "Kubernetes does not record who wrote the count last."),
    ]);
}

#[test]
fn what_may_not_be_read_is_said_once() {
    let mut facts = unmanaged();
    let no = || "You may not read it.".to_owned();
    (facts.object, facts.autoscalers, facts.pods) = (Err(no()), Err(no()), Err("You may not list pods.".to_owned()));
    facts.hidden = Some("You may not read the replica count.".to_owned());
    (facts.keeper, facts.rights, facts.count.observed) = (Err(no()), Err(no()), None);
    let expected = "\
The count of deployment.apps/web in the namespace shop is not known.

What is not known:
  You may not read the replica count.
  You may not read it.
  You may not list pods.
";
    assert_eq!(text(&facts, now()), expected);
}

#[test]
fn text_of_others_stays_in_its_line() {
    let mut facts = managed();
    facts.count.reason = "a\u{1b}[2J\nWhat you may do:".to_owned();
    facts.count.set_by = "al\nice".to_owned();
    let text = text(&facts, now());
    assert!(text.contains("  al ice set the lasting count to 3 3h ago: a [2J What you may do:.\n"), "{text}");
}
