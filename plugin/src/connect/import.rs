//! Taking over a client certificate from elsewhere: from files, or from a Secret of the cluster.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{
    Error as ConnectError,
    api::{self, ask},
    cluster::Cluster,
    kubeconfig,
    login::{self, Holder},
    tls,
};
use crate::{
    args::ConnectionArgs,
    config::{
        self, Material,
        file::{self, Credentials},
    },
    error::Error as CommandError,
    output,
};

/// What has to be there, in words.
const NEEDED: &str = "nothing was imported. It takes a client certificate, its key without a passphrase, and the CA of the \
                      server, each in PEM";

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("there is no Secret {name} in the namespace {namespace}")]
    NoSecret { name: String, namespace: String },
    #[error("the Secret {name} in the namespace {namespace} has no {}", missing.join(" and no "))]
    Incomplete { name: String, namespace: String, missing: Vec<String> },
}

impl Error {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Kubeconfig(error) => error.hint(),
            Self::Api(error) => error.hint(),
            Self::Tls(error @ (tls::Error::Expired { .. } | tls::Error::NotYet { .. } | tls::Error::OtherKey(_))) => {
                error.hint()
            }
            Self::Tls(_) => Some(NEEDED.to_owned()),
            Self::NoSecret { namespace, .. } => Some(format!(
                "`kubectl -n {namespace} get secrets` shows those that are there; -n names another namespace"
            )),
            Self::Incomplete { .. } => {
                Some("it needs tls.crt, tls.key and ca.crt; or client.crt, client.key and ca.crt".to_owned())
            }
        }
    }
}

/// Where a client certificate, its key and the CA of the server come from.
#[derive(Debug)]
pub(crate) enum Source {
    Files { ca: PathBuf, certificate: PathBuf, key: PathBuf },
    Secret { name: String },
}

/// A content, and where it was read, in words.
struct Taken {
    from: String,
    content: Vec<u8>,
}

impl Taken {
    fn material(&self) -> Material {
        Material::Taken { from: self.from.clone(), content: self.content.clone() }
    }
}

/// Stores a client certificate from elsewhere for the context, if it can be used, and returns both.
pub(crate) async fn import(args: &ConnectionArgs, source: Source) -> Result<(String, Holder), CommandError> {
    let cluster = Cluster::load(&args.kube).map_err(ConnectError::from)?;
    let path = config::path().ok_or(config::Error::NoPlace)?;
    let taken = match source {
        Source::Files { ca, certificate, key } => read_files(ca, certificate, key),
        Source::Secret { name } => read_secret(&cluster, args, name).await,
    };
    let [ca, certificate, key] = taken.map_err(ConnectError::from)?;
    let doubt = tls::vet(ca.material(), certificate.material(), key.material());
    let doubt = doubt.map_err(|error| ConnectError::from(Error::from(error)))?;
    let holder = Holder::of(&certificate.content).ok_or(ConnectError::from(login::Error::Unreadable))?;
    let context = cluster.context().unwrap_or_default().to_owned();
    let credentials = Credentials { ca: ca.content, certificate: certificate.content, key: key.content };
    file::edit(&path, |file| {
        file.contexts.entry(context.clone()).or_default().import(credentials);
        Ok(())
    })?;
    if let Some(doubt) = doubt {
        output::note(&format!(
            "warning: a server whose clients must be of this CA will refuse {}: {doubt}\n  it is stored all the same, as \
             the server may trust clients of another CA",
            holder.user
        ));
    }
    Ok((context, holder))
}

/// Reads the CA, the certificate and the key.
fn read_files(ca: PathBuf, certificate: PathBuf, key: PathBuf) -> Result<[Taken; 3], Error> {
    let read = |what: &'static str, path: PathBuf| -> Result<Taken, Error> {
        let from = format!("{path:?}");
        Ok(Taken { from, content: tls::read(what, &Material::File(path))? })
    };
    Ok([read(tls::CA, ca)?, read(tls::CERTIFICATE, certificate)?, read(tls::KEY, key)?])
}

/// Reads the CA, the certificate and the key.
async fn read_secret(cluster: &Cluster, args: &ConnectionArgs, name: String) -> Result<[Taken; 3], Error> {
    let namespace = args.kube.namespace.clone().or_else(|| cluster.namespace());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await?, &namespace);
    let action = format!("get the secret {name} in the namespace {namespace}");
    let secret = match ask(args.request_timeout, action, secrets.get(&name)).await {
        Err(error) if error.is_not_found() => return Err(Error::NoSecret { name, namespace }),
        secret => secret?,
    };
    let mut data = secret.data.unwrap_or_default();
    let stem = if data.contains_key("tls.crt") || !data.contains_key("client.crt") { "tls" } else { "client" };
    let keys = ["ca.crt".to_owned(), format!("{stem}.crt"), format!("{stem}.key")];
    let missing: Vec<_> = keys.iter().filter(|key| !data.contains_key(*key)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::Incomplete { name, namespace, missing });
    }
    Ok(keys.map(|key| Taken {
        from: format!("{key} of the Secret {name} in the namespace {namespace}"),
        content: data.remove(&key).unwrap_or_default().0,
    }))
}
