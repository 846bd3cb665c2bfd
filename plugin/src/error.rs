//! The program's error, and the one place that turns it into a message and an exit code.

use std::{error::Error as StdError, io, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    assignment, completer, config, context_pattern, credentials,
    impersonation::Impersonation,
    kubernetes, manifests, operations, output, program, refusal,
    session::{self, CallError},
    target, terminal, time, words,
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
    /// Something was not done in time.
    TimedOut = 4,
    /// The user pressed Ctrl-C: 128 and the number of SIGINT, as in every shell.
    Interrupted = 130,
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
    Words(#[from] words::Error),
    #[error(transparent)]
    Assignment(#[from] assignment::Error),
    #[error(transparent)]
    Contexts(#[from] context_pattern::Error),
    #[error(transparent)]
    Manifests(#[from] manifests::Error),
    #[error(transparent)]
    Operations(#[from] operations::Error),
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
    #[error(transparent)]
    Completer(#[from] completer::Error),
    #[error("no client certificate is configured for {}", config::describe(context))]
    NotLoggedIn { context: String, path: Option<PathBuf> },
    #[error("no client certificate of {} is stored for {}", impersonation.user, config::describe(context))]
    NotLoggedInAs { impersonation: Impersonation, context: String },
    /// Some of several targets failed. Each of them was reported.
    #[error("{failed} of {all} targets could not be {done}")]
    Incomplete { failed: usize, all: usize, done: &'static str },
    /// Some of several contexts, or targets in them, failed. Each of them was reported.
    #[error("{failed} of {all} contexts failed")]
    IncompleteContexts { failed: usize, all: usize },
    /// Checks of `doctor` failed. Each of them was shown. There may be no connection to the server.
    #[error("{failed} of {all} checks failed")]
    Unhealthy { failed: usize, all: usize, is_connected: bool },
    #[error("after {}, {failed} of {all} checks still fail", time::describe_limit(*timeout))]
    StillUnhealthy { failed: usize, all: usize, timeout: Duration },
    #[error("{target} cannot be set to {replicas}: the server accepts at most {most}")]
    TooMany { target: String, replicas: i32, most: i32 },
    /// The target can no longer become ready.
    #[error("{target} {why}")]
    Lost { target: String, why: String },
    /// The source is the failure of the last watch, if it failed.
    #[error("not ready after {}: {}", time::describe_limit(*timeout), open.join(", "))]
    NotReady { timeout: Duration, open: Vec<String>, source: Option<Box<Error>> },
    #[error("{target} may have been {done}, or not: {}", why_unsure(source))]
    Unsure { target: String, done: &'static str, source: CallError },
    #[error("{target} was changed by others after its count was read, and was not {done}")]
    Changed { target: String, done: &'static str, source: CallError },
    /// The commands before it cannot be undone either, until it is skipped.
    #[error("`{command}`, {age} ago, cannot be undone")]
    NotUndone { command: String, age: String, source: Box<Error> },
    #[error("{target} has no count that the new one could start from")]
    NoCount { target: String },
    #[error("there are no replica counts to wait for{}", namespace.as_ref().map(|it| format!(" in namespace {it}")).unwrap_or_default())]
    NothingToWaitFor { namespace: Option<String> },
    #[error("failed to write the picture to {}", file.display())]
    Picture { file: PathBuf, source: io::Error },
    /// There is no terminal to ask on, and no `--yes`.
    #[error("{targets} {} would be {done}, and there is no terminal to ask", if *targets == 1 { "target" } else { "targets" })]
    NoConsent { targets: usize, done: &'static str },
    #[error("nothing was {done}: the answer was not y")]
    Declined { done: &'static str },
    #[error("interrupted: {account}")]
    Interrupted { account: String },
    /// Ctrl-C is the usual end of a watch.
    #[error("interrupted")]
    WatchInterrupted,
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
            Self::Words(_)
            | Self::Assignment(_)
            | Self::Manifests(_)
            | Self::NoConsent { .. }
            | Self::Contexts(context_pattern::Error::With { .. })
            | Self::Config(config::Error::Value { .. }) => Exit::Usage,
            Self::NotUndone { source, .. } => source.exit_code(),
            Self::Interrupted { .. } | Self::WatchInterrupted => Exit::Interrupted,
            Self::NotReady { .. }
            | Self::StillUnhealthy { .. }
            | Self::Call(CallError::TimedOut { .. })
            | Self::Unsure { source: CallError::TimedOut { .. }, .. }
            | Self::Credentials(credentials::Error::NotSigned { .. }) => Exit::TimedOut,
            // There is a connection in these cases.
            Self::Kubernetes(kubernetes::Error::NoResource { .. })
            | Self::Call(CallError::Refused(_))
            | Self::Unsure { source: CallError::Refused(_), .. } => Exit::Failed,
            Self::Config(_)
            | Self::Contexts(_)
            | Self::Kubernetes(_)
            | Self::Credentials(_)
            | Self::Session(_)
            | Self::Call(_)
            | Self::NotLoggedIn { .. }
            | Self::NotLoggedInAs { .. }
            | Self::Unhealthy { is_connected: false, .. }
            | Self::Unsure { .. } => Exit::NotConnected,
            // The reader of the output has seen enough, as with `| head`.
            Self::Output(output::Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Words(error) => error.hint(),
            Self::Assignment(error) => error.hint(),
            Self::Contexts(error) => error.hint(),
            Self::Manifests(error) => error.hint(),
            Self::Operations(error) => error.hint(),
            Self::NoConsent { .. } => Some("look at it with --dry-run, and then give --yes".to_owned()),
            Self::Config(error) => error.hint(),
            Self::Kubernetes(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Call(error) => refusal::hint(error).or_else(|| error.hint()),
            Self::Completer(error) => error.hint(),
            Self::Unsure { .. } => Some("`kubectl replicas list` shows the current counts".to_owned()),
            Self::Changed { target, .. } => Some(format!(
                "`kubectl replicas get {}` shows its count; run the command again to start from it",
                target::arguments(target)
            )),
            Self::NotUndone { source, .. } => {
                let own = source.hint().map(|hint| hint + "; ").unwrap_or_default();
                Some(own + operations::SKIP)
            }
            Self::TooMany { .. } => Some(refusal::RAISE_BOUND.to_owned()),
            Self::NoCount { .. } => Some("give a plain count, such as 3".to_owned()),
            Self::NotReady { open, .. } => match open.as_slice() {
                [one] => one
                    .split_once(": ")
                    .map(|(target, _)| format!("`kubectl replicas get {}` shows more", target::arguments(target))),
                _ => Some("`kubectl replicas list` shows the current counts".to_owned()),
            },
            Self::NotLoggedIn { path, .. } => Some(format!(
                "run `kubectl replicas login`; if the server signs no certificates, ask an administrator for one, and \
                 import it: `kubectl replicas config import --help`{}",
                path.as_ref().map(|path| format!("\n  the configuration is {}", path.display())).unwrap_or_default()
            )),
            Self::NotLoggedInAs { impersonation, .. } => Some(format!(
                "run `kubectl replicas login {}`: the server believes certificates, and only the API server knows --as",
                impersonation.flags()
            )),
            _ => None,
        }
    }

    /// The failure, with the names that the command line has for the fields of requests.
    fn message(&self) -> String {
        let in_flags = match self {
            Self::Call(error) => refusal::in_flags(error),
            _ => None,
        };
        in_flags.unwrap_or_else(|| self.to_string())
    }
}

/// Why the result of a write is not known.
fn why_unsure(source: &CallError) -> &'static str {
    match source {
        CallError::Refused(_) => "the server does not know",
        _ => "the server's answer is missing",
    }
}

/// Reports a failure to the user, and returns the exit code.
pub(crate) fn report(error: &Error) -> Exit {
    if error.exit_code() != Exit::Success && !matches!(error, Error::WatchInterrupted) {
        output::note(&explain("error", error));
    }
    error.exit_code()
}

/// A failure as text: the failure, its causes, and a hint.
pub(crate) fn explain(subject: &str, error: &Error) -> String {
    describe(subject, error, "", None)
}

/// A failure in a context as text. The commands of its hint choose that context.
pub(crate) fn explain_in(context: &str, subject: &str, error: &Error) -> String {
    describe(subject, error, "", Some(context))
}

/// The failure that several targets or contexts share as text. `what` says what the names are, and `context` is what
/// the commands of its hint choose, if they have to choose a context.
pub(crate) fn explain_for(error: &Error, what: &str, names: &str, context: Option<&str>) -> String {
    describe("error", error, &format!("\n  {what}: {}", terminal::one_line(names)), context)
}

fn describe(subject: &str, error: &Error, names: &str, context: Option<&str>) -> String {
    let mut text = format!("{}: {}{names}", terminal::one_line(subject), with_causes(error));
    if let Some(hint) = shown_hint(error) {
        let hint = match context {
            Some(context) => program::in_context(&hint, &terminal::one_line(context)),
            None => hint,
        };
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    text
}

/// A failure and its causes.
pub(crate) fn with_causes(error: &Error) -> String {
    let message = error.message();
    let mut text = terminal::indented(&message);
    let mut next = error.source();
    let mut shown = message;
    while let Some(cause) = next {
        // The source of an error of this module is boxed.
        let cause_text = cause.downcast_ref::<Box<Error>>().map_or_else(|| cause.to_string(), |own| own.message());
        // Many libraries repeat the cause in their own text.
        if !shown.contains(&cause_text) {
            text.push_str("\n  caused by: ");
            text.push_str(&terminal::indented(&cause_text));
            shown = cause_text;
        }
        next = cause.source();
    }
    text
}

/// What the user can do about a failure.
pub(crate) fn shown_hint(error: &Error) -> Option<String> {
    error.hint().map(|hint| program::in_hint(&terminal::lines(&hint)))
}

#[cfg(test)]
mod tests;
