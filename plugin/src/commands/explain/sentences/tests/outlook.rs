//! What is wrong and what happens next.

use super::*;

#[test]
fn nothing_is_promised_that_the_server_cannot_do() {
    let hindered = |reason: &str| {
        let mut facts = managed();
        facts.count.conditions = vec![condition("Ready", "False", reason, "why")];
        facts.autoscalers = Ok(vec!["web-cpu".to_owned()]);
        text(&facts, now())
    };
    for (reason, sentence) in [
        ("CorrectionFailed", "The server could not write 3. It tries again after up to 5 minutes, and at once when"),
        ("CountChangedByAdmission", "An admission policy or a webhook keeps 3 out. The server tries again after"),
        ("AboveMaximum", "The server puts 3 in place only once its maximum is raised, or a smaller count is set."),
        (
            "Controlled",
            "does not put 3 in place. To stop managing it: `kubectl replicas unset deployment.apps/web -n shop`.",
        ),
        ("Forbidden", "The server puts 3 in place only once it can watch targets of this kind."),
        ("KindNotListed", "Once the server knows the targets of this kind, it puts 3 in place."),
        ("ReplicaCountTerminating", "Nothing holds the count any more."),
        ("Restored", "The server deletes the ReplicaCount, and then nothing holds it."),
        ("TargetTerminating", "If the target is created again, it gets 3 replicas."),
    ] {
        let text = hindered(reason);
        assert!(text.contains(sentence), "{reason}: {sentence:?} is missing in {text}");
        let (has_promise, has_undoing) =
            (text.contains("the server undoes it"), text.contains("the server undoes that"));
        assert!(
            !has_promise && !has_undoing && text.contains("alice may scale the target itself."),
            "{reason}: {text}"
        );
        let headline = "deployment.apps/web in the namespace shop should be held at 3 replicas. Its spec has them, and";
        assert!(text.starts_with(headline), "{reason}: {text}");
    }
    let ready = hindered("ReplicasNotReady");
    assert!(ready.contains("the server undoes it with 3.") && ready.contains("the server undoes that."), "{ready}");
}

#[test]
fn another_count_without_a_reason_is_not_corrected_yet() {
    let drifted = |conditions, admission: &str| {
        let mut facts = managed();
        (facts.count.observed, facts.count.conditions) = (Some(8), conditions);
        facts.count.admission = admission.to_owned();
        text(&facts, now())
    };
    let ready = || vec![condition("Ready", "True", "InPlace", "3 of 3 replicas are ready")];
    let failed = || vec![condition("Ready", "False", "CorrectionFailed", "quota")];
    let advice = "It was not corrected yet: `kubectl replicas doctor` shows whether a server leads.";
    for (name, text, is_advised) in [
        ("an old condition", drifted(ready(), ""), true),
        ("no condition yet", drifted(Vec::new(), ""), true),
        ("guarded", drifted(ready(), "guarded"), true),
        ("the condition says why", drifted(failed(), ""), false),
        ("in place", changed(|_| {}), false),
    ] {
        assert_eq!(text.contains(advice), is_advised, "{name}: {text}");
        let promises = ["What happens next:", "the server undoes that", "another count is refused"];
        let has_promise = promises.iter().any(|promise| text.contains(promise));
        assert!(!(is_advised && has_promise), "{name}: {text}");
    }
}
