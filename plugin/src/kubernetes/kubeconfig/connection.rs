//! The connection that a cluster and a user of the kubeconfig describe.

use std::fs;

use hyper::http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::{Config, config::AuthInfo};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::ServerName;

use super::{
    entries::{Cluster, User},
    error::Error,
    flaw::{Flaw, check_cluster, check_exec_version, check_user},
    oidc,
};
use crate::kubernetes::{
    api_server::ApiServer,
    exec_credential::{self, ClusterInfo, Manners},
    identity,
    proxy::Proxy,
    server_url::Url,
    system_roots,
};

/// The extension of a cluster that credential programs get.
const EXEC_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// What client-go escapes in the name of a header: all but letters, digits and these characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Checks the cluster and the user as kubectl does, and runs the credential program, if there is one. The program may ask
/// the user questions only if its manners let it.
///
/// As in client-go, a server that is reached without TLS gets no credentials.
pub(super) fn connect(
    (cluster_name, cluster): (&str, &Cluster),
    (user_name, user): (&str, &User),
    manners: Manners,
) -> Result<ApiServer, Error> {
    let of_cluster = |source| Error::Invalid { what: "cluster", name: cluster_name.to_owned(), source };
    let of_user = |source| Error::Invalid { what: "user", name: user_name.to_owned(), source };
    if cluster.server.is_empty() {
        return Err(Error::NoServer { name: cluster_name.to_owned() });
    }
    check_user(user).map_err(of_user)?;
    check_cluster(cluster).map_err(of_cluster)?;
    let configured_proxy = match cluster.proxy_url.as_str() {
        "" => None,
        url => Some(Proxy::of_kubeconfig(url)?),
    };
    let url =
        Url::of_server(&cluster.server).ok_or_else(|| of_cluster(Flaw::Server(without_secret(&cluster.server))))?;
    let proxy = match configured_proxy {
        Some(proxy) => Some(proxy),
        None => Proxy::of_environment(&url)?,
    };
    let mut server = ApiServer { config: Config::new(url.uri.clone()), identity: None, proxy };
    server.config.headers = impersonation_headers(user).map_err(of_user)?;
    if url.uri.scheme_str() == Some("https") {
        trust(&mut server.config, cluster).map_err(of_cluster)?;
        log_in(&mut server, (user_name, user), (cluster, &url), manners)?;
    }
    if let Some((name, password)) = url.credentials {
        // Go puts them into each request before client-go could put in others.
        let login = &mut server.config.auth_info;
        (login.token, login.token_file) = (None, None);
        (login.username, login.password) = (Some(name), Some(password.into()));
    }
    Ok(server)
}

fn without_secret(server: &str) -> String {
    match server.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => server.to_owned(),
    }
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// The headers that ask the API server to take the user for another one. kube's own refuse what is not ASCII.
pub(super) fn impersonation_headers(user: &User) -> Result<Vec<(HeaderName, HeaderValue)>, Flaw> {
    let header =
        |name: &str, value: &String| match (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => Ok((name, value)),
            _ => Err(Flaw::Header(value.clone())),
        };
    let one = |name: &'static str, value: &String| (!value.is_empty()).then(|| header(name, value));
    let groups = user.impersonate_groups.iter().map(|group| header("impersonate-group", group));
    let extra = user.impersonate_extra.iter().flat_map(|(key, values)| {
        let name = format!("impersonate-extra-{}", utf8_percent_encode(key, ESCAPED));
        values.iter().map(move |value| header(&name, value))
    });
    one("impersonate-user", &user.impersonate)
        .into_iter()
        .chain(one("impersonate-uid", &user.impersonate_uid))
        .chain(groups)
        .chain(extra)
        .collect()
}

/// Sets what the server's certificate must be. Certificates of the CA that cannot be read are skipped, as in Go.
fn trust(config: &mut Config, cluster: &Cluster) -> Result<(), Flaw> {
    const CA: &str = "certificate-authority";
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify;
    config.tls_server_name = given(&cluster.tls_server_name);
    if let Some(name) = &config.tls_server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        return Err(Flaw::ServerName(name.clone()));
    }
    let Some(pem) = content(CA, &cluster.certificate_authority_data, &cluster.certificate_authority)? else {
        return Ok(());
    };
    let usable = system_roots::usable(&pem);
    if usable.is_empty() {
        return Err(Flaw::NoCa(CA));
    }
    config.root_cert = Some(usable);
    Ok(())
}

/// The data, or the content of the file, if either is given.
fn content(what: &'static str, data: &[u8], path: &str) -> Result<Option<Vec<u8>>, Flaw> {
    match (data, path) {
        ([], "") => Ok(None),
        ([], path) => {
            fs::read(path).map(Some).map_err(|source| Flaw::Unreadable { what, path: path.to_owned(), source })
        }
        (data, _) => Ok(Some(data.to_vec())),
    }
}

/// Finds the user's credentials, in the order of client-go: a token, a password and a certificate come before a
/// provider and a program.
fn log_in(
    server: &mut ApiServer,
    (name, user): (&str, &User),
    (cluster, url): (&Cluster, &Url),
    manners: Manners,
) -> Result<(), Error> {
    let invalid = |source| Error::Invalid { what: "user", name: name.to_owned(), source };
    let unusable = |source| Error::Identity { name: name.to_owned(), source };
    if let Some(exec) = &user.exec {
        check_exec_version(exec).map_err(invalid)?;
    }
    if let Some(provider) = &user.auth_provider {
        oidc::check(provider).map_err(invalid)?;
    }
    let login = &mut server.config.auth_info;
    set_token(login, user).map_err(invalid)?;
    if !user.username.is_empty() {
        (login.username, login.password) = (Some(user.username.clone()), Some(user.password.clone().into()));
    }
    if let Some(chain) =
        content("client-certificate", &user.client_certificate_data, &user.client_certificate).map_err(invalid)?
    {
        let key = content("client-key", &user.client_key_data, &user.client_key).map_err(invalid)?;
        server.identity = Some(identity::read(&chain, &key.unwrap_or_default()).map_err(unusable)?);
    }
    let has_header = login.token.is_some() || login.token_file.is_some() || login.username.is_some();
    match (&user.auth_provider, &user.exec) {
        (Some(provider), _) if !has_header => {
            login.token = Some(oidc::token(provider, Timestamp::now()).map_err(invalid)?.into());
        }
        (_, Some(exec)) if !has_header && server.identity.is_none() => {
            let info = exec.provide_cluster_info.then(|| describe(cluster, url)).transpose().map_err(invalid)?;
            let credentials = exec_credential::run(exec, info, manners)?;
            login.token = credentials.token.map(Into::into);
            if let Some((certificate, key)) = credentials.pair {
                server.identity = Some(identity::read(certificate.as_bytes(), key.as_bytes()).map_err(unusable)?);
            }
        }
        _ if !has_header && server.identity.is_none() => return Err(invalid(Flaw::NoCredentials)),
        _ => {}
    }
    Ok(())
}

/// Sets the token. A file that holds one comes before a token, as in client-go, whatever its documentation says.
fn set_token(login: &mut AuthInfo, user: &User) -> Result<(), Flaw> {
    let in_file = match user.token_file.as_str() {
        "" => String::new(),
        path => match fs::read_to_string(path) {
            Ok(token) => token,
            Err(_) if !user.token.is_empty() => String::new(),
            Err(source) => return Err(Flaw::Unreadable { what: "tokenFile", path: path.to_owned(), source }),
        },
    };
    match in_file.trim() {
        "" => login.token = given(&user.token).map(Into::into),
        // kube reads the file again each minute, but does not trim it.
        token if token == in_file => login.token_file = Some(user.token_file.clone()),
        token => login.token = Some(token.to_owned().into()),
    }
    let is_unsafe = |token: &str| token.chars().any(|c| c.is_control() && c != '\t');
    if is_unsafe(in_file.trim()) || (in_file.trim().is_empty() && is_unsafe(&user.token)) {
        return Err(Flaw::Token);
    }
    Ok(())
}

/// Describes the cluster for a credential program.
fn describe(cluster: &Cluster, url: &Url) -> Result<ClusterInfo, Flaw> {
    let ca = content("certificate-authority", &cluster.certificate_authority_data, &cluster.certificate_authority)?;
    let has_path = url.uri.path().len() > 1;
    let config = cluster.extensions.iter().find(|extension| extension.name == EXEC_EXTENSION);
    Ok(ClusterInfo {
        server: if has_path { url.uri.to_string() } else { cluster.server.clone() },
        tls_server_name: cluster.tls_server_name.clone(),
        insecure_skip_tls_verify: cluster.insecure_skip_tls_verify,
        certificate_authority_data: ca.map(ByteString),
        proxy_url: cluster.proxy_url.clone(),
        disable_compression: cluster.disable_compression,
        config: config.map(|extension| extension.extension.clone()).unwrap_or_default(),
    })
}
