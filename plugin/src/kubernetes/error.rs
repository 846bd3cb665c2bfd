//! The errors of everything that needs the API server.

use std::sync::Arc;

use contract::names::CORE_GROUP;

use super::{kubeconfig, request, service};

/// Why the API server or an object in it is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kubeconfig(#[from] Arc<kubeconfig::Error>),
    #[error(transparent)]
    Request(#[from] request::Error),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error("{} resource {resource}", owner(group))]
    NoResource { resource: String, group: String },
    #[error("failed to find the kind of {resource}{}{group}: only the API server knows it", if group.is_empty() { "" } else { "." })]
    NoDiscovery { resource: String, group: String, source: Arc<kubeconfig::Error> },
}

fn owner(group: &str) -> String {
    if group.is_empty() { "no API group has a".to_owned() } else { format!("the API group {group} has no") }
}

impl Error {
    /// What the caller may not do, if the API server's rights are the reason.
    pub(crate) fn forbidden_action(&self) -> Option<&str> {
        match self {
            Self::Request(request::Error::Forbidden { action, .. }) => Some(action),
            _ => None,
        }
    }

    /// Whether another try may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Request(error) => error.is_temporary(),
            Self::Service(error) => error.is_temporary(),
            Self::Kubeconfig(_) | Self::NoResource { .. } | Self::NoDiscovery { .. } => false,
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Kubeconfig(error) => error.hint(),
            Self::Request(error) => error.hint(),
            Self::Service(error) => error.hint(),
            Self::NoResource { group, .. } if group.is_empty() => {
                Some("`kubectl api-resources` lists the resources".to_owned())
            }
            Self::NoResource { group, .. } => {
                let group = if group == CORE_GROUP { "''" } else { group.as_str() };
                Some(format!("`kubectl api-resources --api-group {group}` lists the resources"))
            }
            Self::NoDiscovery { .. } => None,
        }
    }
}

impl From<kubeconfig::Error> for Error {
    fn from(error: kubeconfig::Error) -> Self {
        Arc::new(error).into()
    }
}
