//! Why a kubeconfig cannot be used.

use std::path::PathBuf;

use kube::config::InClusterError;

use super::{file, flaw::Flaw};
use crate::{
    args::KubeArgs,
    kubernetes::{exec_credential, identity, proxy},
};

/// Why the kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no kubeconfig: looked for {}", paths(looked))]
    Missing { looked: Vec<PathBuf> },
    #[error(transparent)]
    Read(#[from] file::Error),
    #[error("there is no kubeconfig, and the service account of this pod cannot be used")]
    ServiceAccount(#[source] Box<InClusterError>),
    #[error("the kubeconfig has no current context")]
    NoCurrentContext { known: Vec<String> },
    #[error("the kubeconfig has no context {name:?}")]
    NoContext { name: String, known: Vec<String> },
    #[error("the kubeconfig has no {what} {name:?}")]
    NoEntry { what: &'static str, name: String, known: Vec<String> },
    /// The context, of this namespace, names no cluster or one that does not exist.
    #[error("the kubeconfig has no cluster {name:?}")]
    NoCluster { name: String, known: Vec<String>, namespace: String },
    #[error("the kubeconfig's cluster {name:?} has no server")]
    NoServer { name: String },
    #[error("the kubeconfig's {what} {name:?} cannot be used")]
    Invalid { what: &'static str, name: String, source: Flaw },
    #[error("the client certificate of the kubeconfig's user {name:?} cannot be used")]
    Identity { name: String, source: identity::Error },
    #[error("the proxy to the API server cannot be used")]
    Proxy(#[from] proxy::Error),
    #[error("failed to log in to the cluster")]
    Login(#[from] exec_credential::Error),
    #[error("failed to prepare the connection to the API server")]
    Client(#[source] Box<kube::Error>),
}

impl Error {
    /// Whether there is no kubeconfig. With --address, most commands work without one.
    pub(in crate::kubernetes) fn is_absence(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::ServiceAccount(_) | Self::NoCurrentContext { .. })
    }

    /// Whether kubectl would use the service account of a pod: no cluster is chosen, and no flag names something that
    /// only a kubeconfig has.
    pub(in crate::kubernetes) fn is_without_cluster(&self, flags: &KubeArgs) -> bool {
        let KubeArgs { kubeconfig, context, cluster, user, overrides, .. } = flags;
        if overrides.proxy_url.is_some() {
            return false;
        }
        match self {
            Self::Missing { .. } => kubeconfig.is_none() && [context, cluster, user].into_iter().all(Option::is_none),
            error => matches!(error, Self::NoCurrentContext { .. } | Self::NoCluster { .. }),
        }
    }

    /// The namespace of a context without a cluster.
    pub(in crate::kubernetes) fn namespace(&self) -> Option<String> {
        match self {
            Self::NoCluster { namespace, .. } => Some(namespace.clone()).filter(|namespace| !namespace.is_empty()),
            _ => None,
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::ServiceAccount(_) => Some(
                "name one with --kubeconfig or KUBECONFIG, or connect directly with --address HOST:PORT".to_owned(),
            ),
            Self::NoCurrentContext { known } | Self::NoContext { known, .. } if known.is_empty() => {
                Some("the kubeconfig has no contexts; add one with `kubectl config set-context`".to_owned())
            }
            Self::NoCurrentContext { known } | Self::NoContext { known, .. } => {
                Some(format!("choose one with --context: {}", known.join(", ")))
            }
            Self::NoEntry { what, known, .. } => Some(choose_entry(what, known)),
            Self::NoCluster { known, .. } => Some(choose_entry("cluster", known)),
            Self::NoServer { name } => {
                Some(format!("set it: kubectl config set-cluster {name} --server=https://HOST:PORT"))
            }
            Self::Invalid { source, .. } => source.hint(),
            Self::Identity { source, .. } => Some(source.hint()),
            Self::Proxy(error) => Some(error.hint()),
            Self::Login(error) => error.hint(),
            _ => None,
        }
    }
}

fn choose_entry(what: &str, known: &[String]) -> String {
    match known {
        [] => format!("the kubeconfig has no {what} at all"),
        known => format!("choose one with --{what}: {}", known.join(", ")),
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
