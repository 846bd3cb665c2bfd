//! Requests to the Kubernetes API server, with a deadline.

use std::{error::Error as StdError, fmt, time::Duration};

use tokio::time;

use crate::time::describe_limit;

/// Why a request to the API server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// `grant` says how the right is granted, if that is known.
    #[error("not allowed to {action}")]
    Forbidden { action: String, grant: Option<String>, source: ApiMessage },
    #[error("failed to {action}: the API server does not know the user of the kubeconfig")]
    Unauthorized { action: String, source: ApiMessage },
    #[error("failed to {action}")]
    Refused { action: String, code: u16, source: ApiMessage },
    #[error("failed to {action}: the API server gave no answer within {}", describe_limit(*limit))]
    TimedOut { action: String, limit: Duration },
    #[error("failed to {action}: the API server cannot be reached")]
    Unreachable { action: String, source: Box<dyn StdError + Send + Sync> },
}

/// The message of an API server's refusal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ApiMessage(String);

impl Error {
    fn new(action: String, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let source = ApiMessage(status.message.clone());
                match status.code {
                    401 => Self::Unauthorized { action, source },
                    403 => Self::Forbidden { action, grant: None, source },
                    code => Self::Refused { action, code, source },
                }
            }
            kube::Error::Service(source) => Self::Unreachable { action, source },
            kube::Error::HyperError(source) => Self::Unreachable { action, source: source.into() },
            error => Self::Unreachable { action, source: error.into() },
        }
    }

    /// Adds how an administrator grants the rights to connect, if one was missing. The chart names their role after the
    /// Service.
    pub(super) fn of_connecting(self, namespace: &str, service: &str) -> Self {
        let Self::Forbidden { action, source, .. } = self else { return self };
        let grant = format!(
            "an administrator grants it with: kubectl create rolebinding NAME --role={service}-connect --user=USER \
             --namespace {namespace}"
        );
        Self::Forbidden { action, grant: Some(grant), source }
    }

    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether another try may succeed: the API server is out of reach, busy or failing.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => *code == 429 || *code >= 500,
            Self::Forbidden { .. } | Self::Unauthorized { .. } => false,
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Forbidden { grant, .. } => Some(
                grant
                    .clone()
                    .unwrap_or_else(|| "ask for a Role with the verb and resource that the message names".to_owned()),
            ),
            Self::Unauthorized { .. } => {
                Some("log in to the cluster again; `kubectl auth whoami` must work".to_owned())
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                Some("check that `kubectl get --raw /readyz` works with the same context".to_owned())
            }
            Self::Refused { .. } => None,
        }
    }
}

/// Sends a request and gives up after the limit. The action completes the sentence "failed to …".
pub(crate) async fn send<T>(
    limit: Duration,
    action: impl fmt::Display,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| Error::new(action.to_string(), error)),
        Err(_) => Err(Error::TimedOut { action: action.to_string(), limit }),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> Error {
        let status = Status::failure("services is forbidden", "Forbidden").with_code(code);
        Error::new("list Services".to_owned(), kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_refusal_names_the_action_and_the_message_of_the_api_server() {
        let error = refused(403);
        assert!(error.is_forbidden());
        assert_eq!(error.to_string(), "not allowed to list Services");
        assert_eq!(error.source().unwrap().to_string(), "services is forbidden");
        assert!(refused(404).is_not_found());
        assert!(refused(429).is_temporary() && refused(503).is_temporary() && !refused(409).is_temporary());
        assert!(refused(401).hint().unwrap().contains("log in"));
    }

    #[test]
    fn only_a_refusal_names_what_grants_the_right() {
        for (name, error, expected) in [
            ("an unknown role", refused(403), Some("ask for a Role with the verb and resource that the message names")),
            (
                "connecting",
                refused(403).of_connecting("tools", "rcm"),
                Some("an administrator grants it with: kubectl"),
            ),
            ("no refusal", refused(404).of_connecting("tools", "rcm"), None),
        ] {
            let hint = error.hint();
            assert_eq!(hint.is_some(), expected.is_some(), "{name}: {hint:?}");
            assert!(hint.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{name}");
        }
    }
}
