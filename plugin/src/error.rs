//! The program's error, and the one place that turns it into a message and an exit code.

use std::{error::Error as StdError, io, process::ExitCode, time::Duration};

use crate::{
    assignment, config, credentials, kubernetes, output,
    session::{self, CallError},
    target, terminal, time,
};

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    /// The server refused, or the command was done only in part.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no connection to the server.
    NotConnected = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Target(#[from] target::Error),
    #[error(transparent)]
    Assignment(#[from] assignment::Error),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    #[error(transparent)]
    Session(#[from] session::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Output(#[from] output::Error),
    /// Some of several targets failed. Each of them was reported.
    #[error("{failed} of {all} targets could not be {done}")]
    Incomplete { failed: usize, all: usize, done: &'static str },
    #[error("{target} cannot be set to {replicas}: the server accepts at most {most}")]
    TooMany { target: String, replicas: i32, most: i32 },
    /// The target can no longer become ready.
    #[error("{target} {why}")]
    Lost { target: String, why: &'static str },
    /// The source is the failure of the last watch, if it failed.
    #[error("not ready after {}: {}", time::describe_limit(*timeout), open.join(", "))]
    NotReady { timeout: Duration, open: Vec<String>, source: Option<Box<Error>> },
    #[error("{target} may have been {done}, or not: the server's answer is missing")]
    Unsure { target: String, done: &'static str, source: CallError },
    #[error("failed to start")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// The error of a write. If the answer is missing, it says that the server may have made the write.
    pub(crate) fn of_write(error: CallError, target: &str, done: &'static str) -> Self {
        match error {
            source if source.is_missing_answer() => Self::Unsure { target: target.to_owned(), done, source },
            error => error.into(),
        }
    }

    fn exit_code(&self) -> Exit {
        match self {
            Self::Target(_) | Self::Assignment(_) | Self::Config(config::Error::Value { .. }) => Exit::Usage,
            // There is a connection in both cases.
            Self::Kubernetes(kubernetes::Error::NoResource { .. }) | Self::Call(CallError::Refused(_)) => Exit::Failed,
            Self::Config(_)
            | Self::Kubernetes(_)
            | Self::Credentials(_)
            | Self::Session(_)
            | Self::Call(_)
            | Self::Unsure { .. } => Exit::NotConnected,
            // The reader of the output has seen enough, as with `| head`.
            Self::Output(output::Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Assignment(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Kubernetes(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Call(error) => error.hint(),
            Self::Unsure { .. } => Some("`kubectl replicas list` shows the current counts".to_owned()),
            _ => None,
        }
    }
}

/// Reports a failure to the user, and returns the exit code.
pub(crate) fn report(error: &Error) -> Exit {
    if error.exit_code() != Exit::Success {
        output::note(&explain("error", error));
    }
    error.exit_code()
}

/// A failure as text: the failure, its causes, and a hint.
pub(crate) fn explain(subject: &str, error: &Error) -> String {
    let mut text = format!("{}: {}", terminal::one_line(subject), terminal::indented(&error.to_string()));
    let mut next = error.source();
    let mut shown = error.to_string();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many libraries repeat the cause in their own text.
        if !shown.contains(&cause_text) {
            text.push_str("\n  caused by: ");
            text.push_str(&terminal::indented(&cause_text));
            shown = cause_text;
        }
        next = cause.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(&terminal::lines(&hint));
    }
    text
}

#[cfg(test)]
mod tests {
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
        let error = Error::from("a/b/c".parse::<target::TargetRef>().unwrap_err());
        assert_eq!(error.exit_code(), Exit::Usage);
        let text = explain("error", &error);
        assert!(text.starts_with("error: \"a/b/c\" is not a target: there is more than one slash\nhint: "), "{text}");
    }
}
