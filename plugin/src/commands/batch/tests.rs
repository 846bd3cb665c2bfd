use std::time::Duration;

use tonic::Status;

use super::*;
use crate::session::{self, CallError, Refusal};

type Outcome = Result<(String, u8), Error>;

fn refused() -> Outcome {
    Err(CallError::Refused(Refusal(Box::new(Status::internal("broken")))).into())
}

fn unanswered() -> CallError {
    CallError::TimedOut { limit: Duration::from_secs(1) }
}

fn disconnected() -> Outcome {
    Err(session::Error::ServerName { name: String::new() }.into())
}

async fn outcome(results: Vec<Outcome>) -> (Vec<u8>, Result<(), Error>) {
    let requests = results.into_iter().enumerate().map(|(index, result)| (format!("web-{index}"), result)).collect();
    run(&mut Lines::default(), requests, "set", future::ready).await
}

#[tokio::test]
async fn one_failure_does_not_stop_the_others() {
    for failure in [refused(), Err(unanswered().into()), Err(Error::of_write(unanswered(), "web", "set"))] {
        let (values, end) = outcome(vec![Ok((String::new(), 1)), failure, Ok((String::new(), 3))]).await;
        assert_eq!(values, [1, 3]);
        assert_eq!(end.unwrap_err().to_string(), "1 of 3 targets could not be set");
    }
}

#[tokio::test]
async fn the_failure_of_a_single_target_is_the_error_of_the_command() {
    let (_, end) = outcome(vec![refused()]).await;
    assert_eq!(end.unwrap_err().to_string(), "broken");
}

#[test]
fn a_write_without_an_answer_may_have_been_made() {
    let text = explain("error", &Error::of_write(unanswered(), "deployment.apps/web", "set"));
    assert!(text.starts_with("error: deployment.apps/web may have been set, or not"), "{text}");
    assert!(text.contains("no answer within 1s") && text.contains("kubectl replicas list"), "{text}");
}

#[tokio::test]
async fn without_a_connection_no_more_is_sent_but_requests_under_way_count() {
    let mut results = vec![disconnected()];
    results.extend((1..20).map(|value| Ok((String::new(), value))));
    let (values, end) = outcome(results).await;
    assert!(matches!(end, Err(Error::Session(_))));
    assert_eq!(values, (1..u8::try_from(AT_ONCE).unwrap()).collect::<Vec<_>>());
}

#[test]
fn an_account_says_what_was_done_and_what_not() {
    let names: Vec<_> = (0..30).map(|index| format!("web-{index}")).collect();
    let account = |set, answered, sent| Account { names: &names, done: "set", set, answered, sent }.describe();
    let rest: Vec<_> = names[9..29].to_vec();
    assert_eq!(
        account(2, 3, 9),
        format!(
            "2 of 30 targets were set\nmay have been set, or not: {}\nnot set: {} and 1 more",
            names[3..9].join(", "),
            rest.join(", ")
        )
    );
    assert_eq!(account(29, 29, 30), "29 of 30 targets were set\nmay have been set, or not: web-29");
}

#[test]
fn failures_with_one_message_are_reported_together() {
    let refused =
        |message: String| -> Error { CallError::Refused(Refusal(Box::new(Status::internal(message)))).into() };
    let mut failures = Failures::default();
    for name in ["deployment.apps/a", "deployment.apps/b"] {
        failures.add(name, refused(format!("{name} in namespace shop does not exist")));
    }
    failures.add("statefulset.apps/c", refused("statefulset.apps/c in namespace shop does not exist".to_owned()));
    for (name, object) in [("deployment.apps/d", "deployment.d"), ("deployment.apps/e", "deployment.e")] {
        failures.add(name, refused(format!("user \"al\" cannot update replicacounts {object:?}")));
    }
    for name in ["deployment.apps/f", "deployment.apps/f in shop"] {
        failures.add(name, Error::Changed { target: name.to_owned(), done: "set", source: unanswered() });
    }
    let groups: Vec<_> = failures.groups.iter().map(|group| group.names.join(" ")).collect();
    assert_eq!(
        groups,
        [
            "deployment.apps/a deployment.apps/b",
            "statefulset.apps/c",
            "deployment.apps/d deployment.apps/e",
            "deployment.apps/f deployment.apps/f in shop"
        ]
    );
    assert_eq!(failures.report(), 7);
}

#[test]
fn a_hint_chooses_the_context_of_all_failures_with_one_message() {
    const A: &str = "deployment.apps/a";
    const B: &str = "deployment.apps/b";
    let not_logged_in = || Error::NotLoggedIn { context: "other".to_owned(), path: None };
    let of_targets = |names: &[&str]| {
        let mut failures = Failures::default();
        names.iter().for_each(|name| failures.add(name, not_logged_in()));
        failures
    };
    let in_contexts = |contexts: &[&str], targets: &[&str]| {
        let mut failures = Failures::of_contexts();
        contexts.iter().for_each(|context| failures.add_all(context, of_targets(targets)));
        failures
    };
    let of_contexts = |contexts: &[&str]| {
        let mut failures = Failures::of_contexts();
        contexts.iter().for_each(|context| failures.add(context, not_logged_in()));
        failures
    };
    for (name, failures, context) in [
        ("a target", of_targets(&[A]), ""),
        ("targets", of_targets(&[A, B]), ""),
        ("a context", of_contexts(&["prod"]), "--context=prod "),
        ("contexts", of_contexts(&["prod", "test"]), "--context=NAME "),
        ("a target of a context", in_contexts(&["prod"], &[A]), "--context=prod "),
        ("a target of a context with a colon", in_contexts(&["eu: prod"], &[A]), "--context='eu: prod' "),
        ("targets of a context", in_contexts(&["prod"], &[A, B]), "--context=prod "),
        ("a target of each context", in_contexts(&["prod", "test"], &[A]), "--context=NAME "),
    ] {
        let [group] = failures.groups.as_slice() else { panic!("{name}: several groups") };
        let text = group.explain(failures.what);
        assert!(text.contains(&format!("hint: run `kubectl replicas {context}login`; ")), "{name}: {text}");
    }
}
