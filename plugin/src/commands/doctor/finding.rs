//! What a check has found.

use serde::Serialize;

use crate::{
    error::{Error, shown_hint, with_causes},
    program,
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Passed,
    /// Something deserves attention, but the server does its work.
    Warning,
    Failed,
    /// The check was not made: it needs what an earlier one has not found, or a right.
    Skipped,
}

/// What a check has found.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The result of a check. An early end, such as a missing part, is the error.
pub(super) type Verdict = Result<Finding, Finding>;

impl Finding {
    /// All is well.
    pub(super) fn passed(message: impl Into<String>) -> Self {
        Self { status: Status::Passed, message: message.into(), hint: None }
    }

    /// Something deserves attention. The hint may name commands of this program.
    pub(super) fn warning(message: impl Into<String>, hint: &str) -> Self {
        Self { status: Status::Warning, message: message.into(), hint: Some(program::in_hint(hint)) }
    }

    /// Something is wrong. The hint may name commands of this program.
    pub(super) fn failed(message: impl Into<String>, hint: &str) -> Self {
        Self { status: Status::Failed, message: message.into(), hint: Some(program::in_hint(hint)) }
    }

    /// A request failed.
    pub(super) fn error(error: impl Into<Error>) -> Self {
        let error = error.into();
        Self { status: Status::Failed, message: with_causes(&error), hint: shown_hint(&error) }
    }

    /// The check was not made.
    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, message: why.into(), hint: None }
    }

    /// A request about something that the plugin does not need failed. Without the right, there is nothing to check.
    pub(super) fn optional(error: impl Into<Error>) -> Self {
        match error.into() {
            Error::Kubernetes(error) if error.forbidden_action().is_some() => {
                Self::skipped(format!("you may not {}", error.forbidden_action().unwrap_or_default()))
            }
            error => Self { status: Status::Warning, ..Self::error(error) },
        }
    }
}
