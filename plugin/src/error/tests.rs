use std::collections::HashMap;

use contract::names::{GROUP, reasons};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;

#[test]
fn a_broken_pipe_is_success() {
    let exit = |kind: io::ErrorKind| Error::from(output::Error::Write(kind.into())).exit_code();
    assert_eq!(exit(io::ErrorKind::BrokenPipe), Exit::Success);
    assert_eq!(exit(io::ErrorKind::StorageFull), Exit::Failed);
}

#[test]
fn the_causes_and_the_hint_are_shown_once() {
    let inner = io::Error::other("no space");
    let error = Error::from(output::Error::Write(io::Error::other(inner)));
    assert_eq!(explain("error", &error), "error: failed to write the output\n  caused by: no space");
    let message = "no\u{1b}[2J\nhint: run this".to_owned();
    let refused = Error::from(credentials::Error::Refused { name: "x".to_owned(), message });
    let text = explain("error", &refused);
    let start = "error: the request x was refused: no [2J\n    hint: run this\nhint: `kubectl describe csr x`";
    assert!(text.starts_with(start), "text of others looks like no line of ours: {text}");
    let error = Error::from(words::parse_one("a/b/c").unwrap_err());
    assert_eq!(error.exit_code(), Exit::Usage);
    let text = explain("error", &error);
    assert!(text.starts_with("error: \"a/b/c\" is not a target: there is more than one slash\nhint: "), "{text}");
}

#[test]
fn a_hint_names_a_target_as_a_command_accepts_it() {
    let timed_out = || CallError::TimedOut { limit: Duration::ZERO };
    let changed = |target: &str| Error::Changed { target: target.to_owned(), done: "set", source: timed_out() };
    let not_ready = |open: &str| Error::NotReady { timeout: Duration::ZERO, open: vec![open.to_owned()], source: None };
    for (name, error, arguments) in [
        ("changed", changed("deployment.apps/web"), "deployment.apps/web"),
        ("changed elsewhere", changed("deployment.apps/web in shop"), "deployment.apps/web -n shop"),
        ("not ready", not_ready("deployment.apps/web: 1 of 3 ready"), "deployment.apps/web"),
        (
            "not ready elsewhere",
            not_ready("deployment.apps/web in shop: 1 of 3 ready (changed to 1 by x in y)"),
            "deployment.apps/web -n shop",
        ),
    ] {
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains(&format!("`kubectl replicas get {arguments}`")), "{name}: {hint}");
    }
}

#[test]
fn a_hint_for_one_of_several_contexts_chooses_it() {
    let error = Error::NotLoggedIn { context: "other".to_owned(), path: None };
    let command = |context: &str| format!("hint: run `kubectl replicas {context}login`; ");
    for (name, text, context) in [
        ("no context", explain("error", &error), ""),
        ("a context", explain_in("ot\nher", "error: ot her", &error), "--context='ot her' "),
        ("contexts", explain_for(&error, "contexts", "a, b", Some("NAME")), "--context=NAME "),
    ] {
        assert!(text.contains(&command(context)), "{name}: {text}");
        let import = format!("`kubectl replicas {context}config import --help`");
        assert!(text.contains(&import), "{name}: each command has it: {text}");
    }
}

#[test]
fn an_undo_that_fails_says_how_to_go_on() {
    let mut details = ErrorDetails::new();
    details.set_error_info(reasons::INVALID_FIELD, GROUP, HashMap::new());
    let message = "target.kind cannot be managed: DaemonSet.apps cannot be scaled";
    let refused = session::explain(Status::with_error_details(Code::InvalidArgument, message, details));
    let not_undone = |source: Error| {
        let [command, age] = ["unset daemonset/ghost", "3m"].map(str::to_owned);
        Error::NotUndone { command, age, source: Box::new(source) }
    };
    for (name, source, cause) in [
        (
            "one target",
            Error::from(refused),
            "the kind of the target cannot be managed: DaemonSet.apps cannot be scaled",
        ),
        ("several", Error::Incomplete { failed: 1, all: 2, done: "undone" }, "1 of 2 targets could not be undone"),
    ] {
        let error = not_undone(source);
        let text = explain("error", &error);
        let start = format!("error: `unset daemonset/ghost`, 3m ago, cannot be undone\n  caused by: {cause}\nhint: ");
        assert!(text.starts_with(&start), "{name}: {text}");
        assert!(text.contains("`kubectl replicas undo --skip`"), "{name}: {text}");
        assert_eq!(error.exit_code(), Exit::Failed, "{name}");
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let timed_out = || CallError::TimedOut { limit: Duration::from_millis(200) };
    let mut details = ErrorDetails::new();
    details.set_error_info(reasons::API_SERVER_UNREACHABLE, GROUP, HashMap::new());
    let lost = Status::with_error_details(Code::Unavailable, "the API server is out of reach", details);
    let unsure = Error::of_write(session::explain(lost), "web", "set");
    let text = "error: web may have been set, or not: the server does not know\n  caused by: the API server is out";
    assert!(explain("error", &unsure).starts_with(text), "{}", explain("error", &unsure));
    for (name, error, code) in [
        ("an unsure server", unsure, Exit::Failed),
        ("words", Error::from(words::parse_one("sts").unwrap_err()), Exit::Usage),
        ("wait", Error::NotReady { timeout: Duration::ZERO, open: Vec::new(), source: None }, Exit::TimedOut),
        ("call", timed_out().into(), Exit::TimedOut),
        ("write", Error::of_write(timed_out(), "web", "set"), Exit::TimedOut),
        ("doctor", Error::Unhealthy { failed: 1, all: 2, is_connected: true }, Exit::Failed),
        ("doctor alone", Error::Unhealthy { failed: 1, all: 2, is_connected: false }, Exit::NotConnected),
        ("its wait", Error::StillUnhealthy { failed: 1, all: 2, timeout: Duration::ZERO }, Exit::TimedOut),
        ("interrupt", Error::Interrupted { account: String::new() }, Exit::Interrupted),
        ("login", Error::NotLoggedIn { context: String::new(), path: None }, Exit::NotConnected),
        ("refusal", session::explain(Status::internal("")).into(), Exit::Failed),
    ] {
        assert_eq!(error.exit_code(), code, "{name}");
    }
    assert_eq!(Exit::Interrupted as u8, 130);
    assert!(explain("error", &timed_out().into()).contains("no answer within 200ms"));
}
