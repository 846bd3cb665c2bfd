//! The report of the checks, for people and for programs.
//!
//! ```yaml
//! apiVersion: cli.replica-count-manager.io/v1
//! kind: Checkup
//! passed: false                       # no check failed
//! checks:
//! - {section: Configuration, name: certificate, status: failed, message: …, hint: …}
//! ```
//!
//! A status is `passed`, `warning`, `failed` or `skipped`.

use serde::Serialize;

use super::finding::{Finding, Status};
use crate::output::document::{self, Document};

/// The name of the check of the connection: if it fails, so does every other command.
pub(super) const CONNECTION: &str = "connection";

/// A check that was made.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) finding: Finding,
}

/// The content of the document.
#[derive(Serialize)]
pub(super) struct Checkup {
    passed: bool,
    checks: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    section: &'static str,
    name: &'static str,
    status: Status,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The document of the checks.
pub(super) fn document(checked: Vec<Checked>) -> Document<Checkup> {
    let passed = Outcome::of(&checked).failed == 0;
    let entry = |Checked { section, name, finding: Finding { status, message, hint } }| Entry {
        section,
        name,
        status,
        message,
        hint,
    };
    document::of_kind("Checkup", Checkup { passed, checks: checked.into_iter().map(entry).collect() })
}

/// How all checks ended.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    passed: usize,
    warnings: usize,
    pub(super) failed: usize,
    skipped: usize,
    /// Whether there is a connection to the server.
    pub(super) is_connected: bool,
}

impl Outcome {
    /// Counts the checks.
    pub(super) fn of(checked: &[Checked]) -> Self {
        let count = |status| checked.iter().filter(|checked| checked.finding.status == status).count();
        let connection = checked.iter().find(|checked| checked.name == CONNECTION);
        Self {
            passed: count(Status::Passed),
            warnings: count(Status::Warning),
            failed: count(Status::Failed),
            skipped: count(Status::Skipped),
            is_connected: connection.is_some_and(|connection| connection.finding.status == Status::Passed),
        }
    }

    /// The numbers in a line.
    pub(super) fn summary(&self) -> String {
        let Self { passed, warnings, failed, skipped, .. } = self;
        let plural = if *warnings == 1 { "" } else { "s" };
        format!("{passed} passed, {warnings} warning{plural}, {failed} failed, {skipped} skipped")
    }
}

/// The names of the checks that failed.
pub(super) fn failing(checked: &[Checked]) -> String {
    let failed = checked.iter().filter(|checked| checked.finding.status == Status::Failed);
    failed.map(|checked| checked.name).collect::<Vec<_>>().join(", ")
}

/// The lines of a check: a mark, what was found, and a hint.
pub(super) fn lines(checked: &Checked, is_unicode: bool) -> String {
    let Checked { name, finding: Finding { status, message, hint }, .. } = checked;
    let mark = match (status, is_unicode) {
        (Status::Passed, true) => "✓ ",
        (Status::Passed, false) => "ok ",
        (Status::Failed, true) => "✗ ",
        (Status::Failed, false) => "x  ",
        (Status::Warning, true) => "! ",
        (Status::Warning, false) => "!  ",
        (Status::Skipped, true) => "- ",
        (Status::Skipped, false) => "-  ",
    };
    let skipped = if *status == Status::Skipped { "skipped, since " } else { "" };
    let indented = |text: &str| text.replace('\n', "\n    ");
    let hint = hint.as_ref().map(|hint| format!("    hint: {}\n", indented(hint))).unwrap_or_default();
    format!("{mark}{name}: {skipped}{}\n{hint}", indented(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &'static str, finding: Finding) -> Checked {
        Checked { section: "Connection", name, finding }
    }

    #[test]
    fn a_check_has_a_mark_and_a_hint() {
        for (name, finding, unicode, ascii) in [
            ("passed", Finding::passed("a"), "✓ x: a\n", "ok x: a\n"),
            ("warning", Finding::warning("a", "b"), "! x: a\n    hint: b\n", "!  x: a\n    hint: b\n"),
            (
                "failed",
                Finding::failed("a\n  caused by: b", "c\nd"),
                "✗ x: a\n      caused by: b\n    hint: c\n    d\n",
                "x  x: a\n      caused by: b\n    hint: c\n    d\n",
            ),
            ("skipped", Finding::skipped("a"), "- x: skipped, since a\n", "-  x: skipped, since a\n"),
        ] {
            let checked = checked("x", finding);
            assert_eq!((lines(&checked, true).as_str(), lines(&checked, false).as_str()), (unicode, ascii), "{name}");
        }
    }

    #[test]
    fn the_checks_are_counted() {
        let mut all = vec![
            checked("a", Finding::passed("")),
            checked("b", Finding::warning("", "")),
            checked("c", Finding::skipped("")),
            checked(CONNECTION, Finding::failed("", "")),
        ];
        let outcome = Outcome::of(&all);
        assert_eq!(outcome.summary(), "1 passed, 1 warning, 1 failed, 1 skipped");
        assert!(!outcome.is_connected && outcome.failed == 1);
        assert_eq!(failing(&all), CONNECTION);
        all[3].finding = Finding::passed("");
        assert!(Outcome::of(&all).is_connected);
    }

    #[test]
    fn the_document_has_every_check() {
        let all = vec![checked("a", Finding::passed("b")), checked("c", Finding::failed("d", "e"))];
        let expected = serde_json::json!({
            "apiVersion": "cli.replica-count-manager.io/v1", "kind": "Checkup", "passed": false, "checks": [
                {"section": "Connection", "name": "a", "status": "passed", "message": "b"},
                {"section": "Connection", "name": "c", "status": "failed", "message": "d", "hint": "e"},
            ],
        });
        assert_eq!(serde_json::to_value(document(all)).unwrap(), expected);
    }
}
