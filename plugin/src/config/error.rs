//! The errors of the configuration.

use std::{io, path::PathBuf};

use super::{
    context::{describe, example},
    location::PATH_VARIABLE,
};
use crate::yaml::Mistake;

/// Why the configuration cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the configuration {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {} is wrong", path.display())]
    Parse { path: PathBuf, source: Mistake },
    #[error("failed to write the configuration {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to write {}", path.display())]
    Export { path: PathBuf, source: io::Error },
    #[error("there is the key of a CA, {}: its certificate would be replaced", key.display())]
    HoldsCa { key: PathBuf },
    #[error("failed to show the configuration as YAML")]
    Format(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no configuration file: this user has no home folder")]
    NoPath,
    #[error("not logged in with {}", describe(context))]
    NotLoggedIn { context: String },
    #[error("the certificate for {} is not from a login", describe(context))]
    NotFromLogin { context: String },
    #[error("{value:?} is not a valid {key}: {why}")]
    Value { key: String, value: String, why: &'static str },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                Some(format!("name a regular file with {PATH_VARIABLE}"))
            }
            Self::Read { .. } | Self::Write { .. } | Self::Export { .. } | Self::Format(_) => None,
            Self::HoldsCa { .. } => Some("name another folder with --to".to_owned()),
            Self::NoPath => Some(format!("name a file with {PATH_VARIABLE}")),
            Self::NotLoggedIn { .. } => Some("`kubectl replicas config view` shows the configuration".to_owned()),
            Self::NotFromLogin { .. } => {
                Some("to remove it: kubectl replicas config unset certificate; do the same for key and ca".to_owned())
            }
            Self::Value { .. } => Some("`kubectl replicas config set --help` describes each setting".to_owned()),
            Self::Parse { path, .. } => Some(format!(
                "correct it, or move {} away and run `kubectl replicas login` for each context; an entry looks like \
                 this:\n{}",
                path.display(),
                example("my-context")
            )),
        }
    }
}
