//! Imports a client certificate from files, or from a Secret of the cluster.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{certificate_subject::CertificateSubject, credential_store, error::Error};
use crate::{
    args::ConnectionArgs,
    config::{self, Credentials, Material},
    kubernetes::{self, Cluster, request::send},
    session::tls,
};

/// The source of a client certificate, its key and the CA of the server.
#[derive(Debug)]
pub(crate) enum ImportSource {
    Files { ca: PathBuf, certificate: PathBuf, key: PathBuf },
    Secret { name: String },
}

/// An imported certificate.
pub(crate) struct Imported {
    pub(crate) subject: CertificateSubject,
    /// Why a server would refuse the certificate if it trusted only the imported CA.
    pub(crate) refusal: Option<String>,
}

/// One part of the credentials, and a description of its origin.
struct Part {
    from: String,
    content: Vec<u8>,
}

impl Part {
    fn material(&self) -> Material {
        Material::Imported { from: self.from.clone(), content: self.content.clone() }
    }
}

/// Checks a client certificate, and stores it for the context.
pub(crate) async fn import(cluster: &Cluster, args: &ConnectionArgs, source: ImportSource) -> Result<Imported, Error> {
    let path = config::path().ok_or(config::Error::NoPath)?;
    let [ca, certificate, key] = match source {
        ImportSource::Files { ca, certificate, key } => read_files(ca, certificate, key)?,
        ImportSource::Secret { name } => read_secret(cluster, args, name).await?,
    };
    let refusal = tls::check_import(ca.material(), certificate.material(), key.material())?;
    let subject = CertificateSubject::parse(&certificate.content).ok_or(Error::Unreadable)?;
    let credentials = Credentials { ca: ca.content, certificate: certificate.content, key: key.content };
    credential_store::store_import(cluster, &path, credentials)?;
    Ok(Imported { subject, refusal })
}

/// Reads the CA, the certificate and the key.
fn read_files(ca: PathBuf, certificate: PathBuf, key: PathBuf) -> Result<[Part; 3], Error> {
    let read = |what: &'static str, path: PathBuf| -> Result<Part, Error> {
        let from = format!("{path:?}");
        Ok(Part { from, content: tls::read(what, &Material::File(path))? })
    };
    Ok([read(tls::CA, ca)?, read(tls::CERTIFICATE, certificate)?, read(tls::KEY, key)?])
}

/// Reads the CA, the certificate and the key.
async fn read_secret(cluster: &Cluster, args: &ConnectionArgs, name: String) -> Result<[Part; 3], Error> {
    let namespace = cluster.namespace(args.kube.namespace.as_deref());
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await?, &namespace);
    let action = format!("get the secret {name} in the namespace {namespace}");
    let secret = match send(args.request_timeout, action, secrets.get(&name)).await {
        Err(error) if error.is_not_found() => return Err(Error::NoSecret { name, namespace }),
        secret => secret.map_err(kubernetes::Error::from)?,
    };
    let mut data = secret.data.unwrap_or_default();
    let stem = if data.contains_key("tls.crt") || !data.contains_key("client.crt") { "tls" } else { "client" };
    let keys = ["ca.crt".to_owned(), format!("{stem}.crt"), format!("{stem}.key")];
    let missing: Vec<_> = keys.iter().filter(|key| !data.contains_key(*key)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::IncompleteSecret { name, namespace, missing });
    }
    Ok(keys.map(|key| Part {
        from: format!("{key} of the Secret {name} in the namespace {namespace}"),
        content: data.remove(&key).unwrap_or_default().0,
    }))
}
