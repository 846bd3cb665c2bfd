//! What kubectl refuses in a chosen cluster or user, before it sends a request.

use std::{fs::File, io};

use super::entries::{Cluster, Exec, User};

/// The versions of the protocol with credential programs.
const EXEC_VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// The interactive modes of credential programs.
const EXEC_MODES: [&str; 3] = ["Never", "IfAvailable", "Always"];

/// Why a cluster or a user cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("{0} and {1} are both set")]
    Both(&'static str, &'static str),
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
    #[error("failed to read the {what} {path}")]
    Unreadable { what: &'static str, path: String, source: io::Error },
    #[error("the {0} holds no certificate in PEM that can be used")]
    NoCa(&'static str),
    #[error("the server {0:?} is no URL like https://HOST:PORT")]
    Server(String),
    #[error("the tls-server-name {0:?} is no name of a server")]
    ServerName(String),
    #[error("the apiVersion {0:?} of the credential program is none of {list}", list = EXEC_VERSIONS.join(", "))]
    ExecVersion(String),
    #[error("the interactiveMode {0:?} of the credential program is none of {list}", list = EXEC_MODES.join(", "))]
    ExecMode(String),
    #[error("the auth-provider {0:?} is not supported, as in kubectl; only \"oidc\" is")]
    AuthProvider(String),
    #[error("the id-token of its auth-provider {0}")]
    IdToken(&'static str),
    #[error("{0:?} cannot be sent in a header")]
    Header(String),
    #[error("the token holds a line break or another control character")]
    Token,
    #[error("it has no credentials")]
    NoCredentials,
}

impl Flaw {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NoCredentials => {
                Some("kubectl asks for a user name and a password; log in to the cluster".to_owned())
            }
            Self::IdToken(_) => Some(
                "run `kubectl auth whoami` with the same context, which gets a new token and stores it; then try again"
                    .to_owned(),
            ),
            Self::AuthProvider(_) => Some("use the credential program of the provider, as its manual says".to_owned()),
            _ => Some("`kubectl auth whoami` must work with the same context".to_owned()),
        }
    }
}

/// Checks a cluster.
pub(super) fn check_cluster(cluster: &Cluster) -> Result<(), Flaw> {
    let has_ca = !cluster.certificate_authority.is_empty() || !cluster.certificate_authority_data.is_empty();
    if !cluster.certificate_authority.is_empty() && !cluster.certificate_authority_data.is_empty() {
        return Err(Flaw::Both("certificate-authority", "certificate-authority-data"));
    }
    open("certificate-authority", &cluster.certificate_authority)?;
    let is_https = cluster.server.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    if is_https && has_ca && cluster.insecure_skip_tls_verify {
        return Err(Flaw::Both("insecure-skip-tls-verify", "a certificate authority"));
    }
    Ok(())
}

/// Checks a user.
pub(super) fn check_user(user: &User) -> Result<(), Flaw> {
    let has_password = !user.username.is_empty() || !user.password.is_empty();
    if !user.token.is_empty() && has_password {
        return Err(Flaw::Both("token", "username or password"));
    }
    check_certificate(user)?;
    if let Some(exec) = &user.exec {
        if user.auth_provider.is_some() {
            return Err(Flaw::Both("exec", "auth-provider"));
        }
        check_exec(exec)?;
    }
    let details = [
        ("as-uid", user.impersonate_uid.is_empty()),
        ("as-groups", user.impersonate_groups.is_empty()),
        ("as-user-extra", user.impersonate_extra.is_empty()),
    ];
    match details.into_iter().find(|(_, is_empty)| !is_empty) {
        Some((detail, _)) if user.impersonate.is_empty() => Err(Flaw::Needs(detail, "as")),
        _ => Ok(()),
    }
}

fn check_certificate(user: &User) -> Result<(), Flaw> {
    let [has_certificate, has_certificate_data, has_key, has_key_data] = [
        !user.client_certificate.is_empty(),
        !user.client_certificate_data.is_empty(),
        !user.client_key.is_empty(),
        !user.client_key_data.is_empty(),
    ];
    if !has_certificate && !has_certificate_data {
        return Ok(());
    }
    if has_certificate && has_certificate_data {
        return Err(Flaw::Both("client-certificate", "client-certificate-data"));
    }
    if has_key && has_key_data {
        return Err(Flaw::Both("client-key", "client-key-data"));
    }
    if !has_key && !has_key_data {
        return Err(Flaw::Needs("client-certificate", "client-key or client-key-data"));
    }
    open("client-certificate", &user.client_certificate)?;
    open("client-key", &user.client_key)
}

fn check_exec(exec: &Exec) -> Result<(), Flaw> {
    if exec.command.is_empty() {
        return Err(Flaw::Needs("exec", "command"));
    }
    if exec.api_version.is_empty() {
        return Err(Flaw::Needs("exec", "apiVersion"));
    }
    if exec.env.iter().any(|variable| variable.name.is_empty()) {
        return Err(Flaw::Needs("a variable of exec", "name"));
    }
    match exec.mode() {
        "" => Err(Flaw::Needs("exec", "interactiveMode")),
        mode if EXEC_MODES.contains(&mode) => Ok(()),
        mode => Err(Flaw::ExecMode(mode.to_owned())),
    }
}

/// Checks the protocol of a credential program. kubectl does this only if the server is reached by TLS.
pub(super) fn check_exec_version(exec: &Exec) -> Result<(), Flaw> {
    match EXEC_VERSIONS.contains(&exec.api_version.as_str()) {
        true => Ok(()),
        false => Err(Flaw::ExecVersion(exec.api_version.clone())),
    }
}

fn open(what: &'static str, path: &str) -> Result<(), Flaw> {
    if path.is_empty() {
        return Ok(());
    }
    File::open(path).map(drop).map_err(|source| Flaw::Unreadable { what, path: path.to_owned(), source })
}
