//! Who else writes a target, and what the server does about it.

use contract::replicas::v1::{Attempt, Drift};

use super::*;

#[test]
fn others_are_named_with_what_they_do() {
    let drifted = changed(|facts| {
        facts.count.last_drift = Some(Drift {
            manager: "kubectl".to_owned(),
            from: Some(3),
            to: Some(9),
            at: at(-12),
            corrected_at: at(-11),
            ..Drift::default()
        });
        facts.count.drifts = 4;
    });
    let removed = changed(|facts| {
        let manager = "kubectl".to_owned();
        facts.count.last_drift = Some(Drift { manager, from: Some(3), at: at(-12), ..Drift::default() });
    });
    let scaled = changed(|facts| facts.autoscalers = Ok(vec!["web-cpu".to_owned()]));
    let owned = changed(|facts| {
        object(facts).controller = Some("Kafka events".to_owned());
        object(facts).tool = Some("the Helm release shop/web".to_owned());
        facts.keeper = Ok(Some("the Argo CD application shop".to_owned()));
    });
    check(&[
        (
            "drift",
            drifted.clone(),
            "A program, kubectl, changed the count from 3 to 9 12s ago, and it was put back 11s ago.",
        ),
        ("drifts", drifted, "There were 4 such drifts."),
        ("removal", removed, "A program, kubectl, removed the count of 3 12s ago, and it is not put back."),
        ("autoscaler", scaled.clone(), "HorizontalPodAutoscaler web-cpu scales it."),
        ("and next", scaled, "writes its own count again and again, and the server undoes it with 3."),
        ("controller", owned.clone(), "Kafka events controls it, and may change its count"),
        ("tool", owned.clone(), "It belongs to the Helm release shop/web."),
        ("keeper", owned, "Its ReplicaCount belongs to the Argo CD application shop"),
    ]);
}

#[test]
fn a_person_is_named_where_known() {
    let drifted = |user: &str, manager: &str| {
        let mut facts = managed();
        let [user, manager] = [user, manager].map(str::to_owned);
        let (from, to) = (Some(3), Some(9));
        facts.count.last_drift = Some(Drift { user, manager, from, to, at: at(-12), ..Drift::default() });
        text(&facts, now())
    };
    check(&[
        (
            "a person",
            drifted("bob", "kubectl"),
            "  bob changed the count from 3 to 9 12s ago with kubectl, and it is not",
        ),
        ("a 0 through scale", drifted("bob", "unknown"), "  bob changed the count from 3 to 9 12s ago, and it is not"),
        ("a program", drifted("", "helm"), "  A program, helm, changed the count from 3 to 9 12s ago, and it is not"),
        (
            "neither",
            drifted("", "unknown"),
            "  An unknown program changed the count from 3 to 9 12s ago, and it is not",
        ),
    ]);
}

#[test]
fn a_guarded_target_is_explained() {
    let guarded = |verdict: &str, attempts| {
        let mut facts = managed();
        facts.is_guarding = true;
        facts.autoscalers = Ok(vec!["web-cpu".to_owned()]);
        facts.count.admission = "guarded".to_owned();
        let [user, manager, verdict] = ["bob", "helm", verdict].map(str::to_owned);
        let attempt = Attempt { user, manager, verdict, from: Some(3), to: Some(9), at: at(-12) };
        (facts.count.attempts, facts.count.last_attempt) = (attempts, Some(attempt));
        let message = "HorizontalPodAutoscaler web-cpu is paused while the count is held";
        facts.count.conditions = vec![condition("Contested", "False", "AutoscalerPaused", message)];
        text(&facts, now())
    };
    let mut unmanaged = unmanaged();
    (unmanaged.autoscalers, unmanaged.is_guarding) = (Ok(vec!["web-cpu".to_owned()]), true);
    let denied = guarded("denied", 4);
    check(&[
        (
            "a refusal",
            denied.clone(),
            "bob tried to change the count from 3 to 9 12s ago with helm: the guard refused it.",
        ),
        ("their number", denied.clone(), "There were 4 such attempts."),
        ("a kept count", guarded("kept", 1), "helm: the guard kept the count, while the rest was stored.\n"),
        ("rights", denied.clone(), "alice may scale the target itself, but another count is refused while it is held."),
        ("next", denied.clone(), "If another program writes another count, 3 is stored instead"),
        ("the autoscaler", denied, "HorizontalPodAutoscaler web-cpu is paused while the count is held.\n"),
        ("before", text(&unmanaged, now()), "holds it at this count, and pauses HorizontalPodAutoscaler web-cpu."),
    ]);
}
