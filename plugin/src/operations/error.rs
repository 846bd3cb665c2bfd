//! The errors of the operation log, and of what takes an operation back.

use std::{io, path::PathBuf};

use contract::replicas::v1::Target;

use super::location::PATH_VARIABLE;
use crate::target::{in_namespace, name};

/// How to go on after a command that cannot be undone.
pub(crate) const SKIP: &str =
    "`kubectl replicas undo --skip` drops it from the log, so that the next undo takes back the command before";

/// Why the log cannot be used, or an operation cannot be undone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the operation log {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to write the operation log {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the operation log {} is broken", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the operation log {} is larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: usize },
    #[error("the operation log {} is of a newer version of this program", path.display())]
    TooNew { path: PathBuf },
    #[error("an operation of {targets} targets is too large for the operation log")]
    TooManyTargets { targets: usize },
    #[error("failed to write an operation as JSON")]
    Format(#[source] serde_json::Error),
    #[error("there is no operation log: this user has no home folder")]
    NoPath,
    #[error("there is no operation of yours in this cluster to undo")]
    NoOperation,
    #[error("`{command}`, {age} ago, cannot be undone:\n{}", refusals.join("\n"))]
    Refused { command: String, age: String, refusals: Vec<String> },
    #[error("{} has no earlier lasting count in its history", name(target))]
    NoEarlier { target: Box<Target> },
    #[error("{} was not managed before {change}", name(target))]
    Unmanaged { target: Box<Target>, change: String },
    #[error("{} is not managed, so it has no history", name(target))]
    NoHistory { target: Box<Target> },
    #[error("{} never had the count {count} in its history, which has {known}", name(target))]
    NoSuchCount { target: Box<Target>, count: i32, known: String },
    #[error("{} has no change {number} in its history, which has {known}", name(target))]
    NoSuchChange { target: Box<Target>, number: i64, known: String },
    #[error("change {number} of {} began an override of {count}, whose end is not in the history", name(target))]
    Override { target: Box<Target>, number: i64, count: i32 },
    #[error(
        "change {number} of {} stands for several that were not seen one by one: its lasting count is not in the history",
        name(target)
    )]
    NoLasting { target: Box<Target>, number: i64 },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Parse { path, .. } | Self::TooLarge { path, .. } | Self::TooNew { path } => {
                format!("move {} away, and a new log is begun; or name another with {PATH_VARIABLE}", path.display())
            }
            Self::NoPath => format!("name a file with {PATH_VARIABLE}"),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                format!("name a regular file with {PATH_VARIABLE}, or /dev/null for no log")
            }
            Self::NoOperation => {
                "`kubectl replicas undo --list` shows the operations of all clusters and users".to_owned()
            }
            Self::Refused { .. } => format!(
                "nothing was changed; {SKIP}; `kubectl replicas undo TARGET` goes back to an earlier count of one \
                 target"
            ),
            Self::Unmanaged { target, .. } => {
                format!("to stop managing it: kubectl replicas unset {} --restore", in_namespace(target))
            }
            Self::NoHistory { target } => format!("`kubectl replicas get {}` shows its count", in_namespace(target)),
            Self::NoEarlier { target } | Self::NoSuchCount { target, .. } | Self::NoSuchChange { target, .. } => {
                format!("`kubectl replicas get {}` shows its changes", in_namespace(target))
            }
            Self::Override { target, count, .. } => {
                format!("to set it again: kubectl replicas set {} {count} --for DURATION", in_namespace(target))
            }
            Self::NoLasting { target, .. } => {
                let target = in_namespace(target);
                format!(
                    "`kubectl replicas history {target}` shows the counts; `kubectl replicas set {target} COUNT` sets one"
                )
            }
            Self::Read { .. } | Self::Write { .. } | Self::TooManyTargets { .. } | Self::Format(_) => return None,
        })
    }
}
