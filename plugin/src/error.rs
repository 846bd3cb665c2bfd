//! A failure, and the one place where it turns into words and an exit code.

use std::{error::Error as StdError, io, process::ExitCode, time::Duration};

use crate::{commands::assignment, config, connect, output, target, time};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is done.
    Success = 0,
    /// The server refused, or not everything could be done.
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
    Connect(#[from] connect::Error),
    #[error(transparent)]
    Refused(#[from] connect::Refusal),
    /// Some of several targets failed, each of which was reported on its own.
    #[error("{failed} of {all} targets could not be {done}")]
    Incomplete { failed: usize, all: usize, done: &'static str },
    #[error("{target} cannot be set to {replicas}: the server accepts at most {most}")]
    TooMany { target: String, replicas: i32, most: i32 },
    #[error("{target} {why}")]
    Lost { target: String, why: &'static str },
    /// The trouble is what kept the last try from following the targets.
    #[error("not ready after {}: {}", time::limit(*timeout), open.join(", "))]
    NotReady {
        timeout: Duration,
        open: Vec<String>,
        #[source]
        trouble: Option<Box<Error>>,
    },
    #[error("{target} may have been {done}, or not: the server's answer is missing")]
    Unsure { target: String, done: &'static str, source: Box<connect::Error> },
    #[error("failed to write the output")]
    Output(#[source] io::Error),
    #[error("failed to start")]
    Runtime(#[source] io::Error),
    #[error("failed to show the result as {format}")]
    Format { format: &'static str, source: Box<dyn StdError + Send + Sync> },
}

impl Error {
    /// Says of a write that it may have been made, if the answer to it is all that is missing.
    pub(crate) fn of_write(self, target: &str, done: &'static str) -> Self {
        match self {
            Self::Connect(source) if source.is_of_one_call() => {
                Self::Unsure { target: target.to_owned(), done, source: Box::new(source) }
            }
            error => error,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Target(_) | Self::Assignment(_) | Self::Config(config::Error::Value { .. }) => Exit::Usage,
            // The connection is there; what was named is not.
            Self::Connect(connect::Error::NoResource { .. }) => Exit::Failed,
            Self::Config(_) | Self::Connect(_) | Self::Unsure { .. } => Exit::NotConnected,
            // Whoever reads us has seen enough, as with `| head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Assignment(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Connect(error) => error.hint(),
            Self::Refused(refusal) => refusal.hint(),
            Self::Unsure { .. } => Some("`kubectl replicas list` shows what holds".to_owned()),
            _ => None,
        }
    }
}

/// Tells the user what failed, why, and what to do; returns how the process ends.
pub(crate) fn report(error: &Error) -> Exit {
    if error.exit() != Exit::Success {
        output::note(&explain("error", error));
    }
    error.exit()
}

/// A failure in words: what failed, its causes, and a hint.
pub(crate) fn explain(subject: &str, error: &Error) -> String {
    let mut text = format!("{subject}: {error}");
    let mut next = error.source();
    let mut shown = error.to_string();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many libraries repeat the cause in their own text.
        if !shown.contains(&cause_text) {
            text.push_str("\n  caused by: ");
            text.push_str(&cause_text);
            shown = cause_text;
        }
        next = cause.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_pipe_is_success() {
        assert_eq!(Error::Output(io::ErrorKind::BrokenPipe.into()).exit(), Exit::Success);
        assert_eq!(Error::Output(io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
    }

    #[test]
    fn the_causes_and_the_hint_are_shown_once() {
        let inner = io::Error::other("no space");
        let error = Error::Output(io::Error::other(inner));
        assert_eq!(explain("error", &error), "error: failed to write the output\n  caused by: no space");
        let error = Error::from("a/b/c".parse::<target::TargetRef>().unwrap_err());
        assert_eq!(error.exit(), Exit::Usage);
        let text = explain("error", &error);
        assert!(text.starts_with("error: \"a/b/c\" is not a target: there is more than one slash\nhint: "), "{text}");
    }
}
