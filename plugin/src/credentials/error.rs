//! The errors of logins, renewals and imports.

use std::time::Duration;

use crate::{
    config,
    kubernetes::{self, request, service},
    session::tls,
    terminal,
    time::describe_limit,
};

/// The hint for users who cannot get a certificate by a request.
const ASK_ADMINISTRATOR: &str = "ask an administrator for a client certificate, and import it with `kubectl replicas \
                                 config import`";

/// The hint for files and Secrets that cannot be imported.
const IMPORTABLE: &str = "nothing was imported; give a client certificate, its key without a passphrase, and the CA of the \
                          server, each in PEM";

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// The server's CA cannot be read.
    #[error(transparent)]
    Ca(service::Error),
    /// The CA that the login trusts cannot be read.
    #[error(transparent)]
    LoginCa(tls::Error),
    /// The CertificateSigningRequest cannot be created or read.
    #[error(transparent)]
    Request(request::Error),
    #[error("the server {service} in the namespace {namespace} does not sign certificates")]
    NotManaged { service: String, namespace: String },
    #[error(
        "the server {service} in the namespace {namespace} has another CA than at your login, and the CA of your login \
         has not signed it"
    )]
    OtherCa { service: String, namespace: String },
    #[error("the request {name} was refused: {message}")]
    Refused { name: String, message: String },
    #[error("the request {name} was not signed within {}", describe_limit(*after))]
    NotSigned { name: String, after: Duration },
    #[error("failed to create a key and a certificate request")]
    Key(#[source] rcgen::Error),
    #[error("failed to read the certificate")]
    Unreadable,
    #[error("the new certificate would name {new} instead of {old}")]
    OtherUser { old: String, new: String },
    #[error(transparent)]
    Import(#[from] tls::Error),
    #[error("there is no Secret {name} in the namespace {namespace}")]
    NoSecret { name: String, namespace: String },
    #[error("the Secret {name} in the namespace {namespace} has no {}", missing.join(" and no "))]
    IncompleteSecret { name: String, namespace: String, missing: Vec<String> },
}

impl Error {
    /// Whether another try may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Kubernetes(error) => error.is_temporary(),
            Self::Ca(error) => error.is_temporary(),
            Self::Request(error) => error.is_temporary(),
            Self::NotSigned { .. } => true,
            _ => false,
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Kubernetes(error) => error.hint(),
            Self::Request(error) if error.is_forbidden() => Some(format!(
                "an administrator allows it with the chart's access.login, or: kubectl create clusterrolebinding NAME \
                 --clusterrole=replica-count-manager-login --user=NAME\n  or {ASK_ADMINISTRATOR}"
            )),
            Self::Ca(error) => error.hint(),
            Self::Request(error) => error.hint(),
            Self::OtherCa { .. } => Some(
                "this may be another server in its place; if an administrator confirms that its CA was replaced, run: \
                 kubectl replicas logout, then kubectl replicas login"
                    .to_owned(),
            ),
            Self::LoginCa(error) => error.hint(),
            Self::NotManaged { .. } => Some(ASK_ADMINISTRATOR.to_owned()),
            Self::NotSigned { name, .. } => Some(format!(
                "`kubectl describe csr {name}` shows its state. If requests need an approval, log in again: `kubectl \
                 replicas login` prints the command for the administrator, and waits for --timeout"
            )),
            Self::Refused { name, .. } => {
                Some(format!("`kubectl describe csr {name}` shows the request; ask an administrator of the cluster"))
            }
            Self::OtherUser { new, .. } => {
                Some(format!("to become {}, run: kubectl replicas login", terminal::one_line(new)))
            }
            Self::Key(_) | Self::Unreadable => None,
            Self::Import(
                error @ (tls::Error::Expired { .. } | tls::Error::NotYet { .. } | tls::Error::OtherKey(_)),
            ) => error.hint(),
            Self::Import(_) => Some(IMPORTABLE.to_owned()),
            Self::NoSecret { namespace, .. } => {
                Some(format!("`kubectl -n {namespace} get secrets` lists the Secrets; -n names another namespace"))
            }
            Self::IncompleteSecret { .. } => {
                Some("the Secret needs tls.crt, tls.key and ca.crt; or client.crt, client.key and ca.crt".to_owned())
            }
        }
    }
}
