//! The client's TLS configuration. Its checks need no network.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
};
use x509_parser::prelude::X509Certificate;

use super::certificate_problem;
use crate::{
    config::{self, Material, Settings},
    output, time,
};

/// gRPC runs over HTTP/2, and the server requires its negotiation in the handshake.
pub(super) const ALPN: &[u8] = b"h2";

// The names of the parts in messages.
pub(crate) const CA: &str = "CA certificate";
pub(crate) const CERTIFICATE: &str = "client certificate";
pub(crate) const KEY: &str = "key";

/// Why the configured certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no {what} is configured")]
    NotConfigured { what: &'static str, context: Option<String>, path: Option<PathBuf> },
    #[error("failed to read the {what} {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{origin} holds no {what} in PEM")]
    NotPem { what: &'static str, origin: String, source: pem::Error },
    #[error("the {what} {origin} cannot be used")]
    Unusable { what: &'static str, origin: String, source: rustls::Error },
    #[error("the {what} {origin} is not an X.509 certificate")]
    NotX509 { what: &'static str, origin: String },
    #[error("the client certificate of {subject} expired at {at}, {ago} ago")]
    Expired { subject: String, at: Timestamp, ago: String },
    #[error("the client certificate of {subject} is not valid before {at}")]
    NotYet { subject: String, at: Timestamp },
    #[error("the key does not belong to the client certificate")]
    OtherKey(#[source] rustls::Error),
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotConfigured { context: Some(context), path: Some(path), .. } => Some(format!(
                "`kubectl replicas login` gets one if the server signs certificates; otherwise add it to {}:\n{}\n  or \
                 give --ca, --cert and --key",
                path.display(),
                config::example(context)
            )),
            Self::NotConfigured { .. } => Some("give --ca, --cert and --key".to_owned()),
            Self::Expired { .. } => {
                Some("run `kubectl replicas login`, or ask the issuer of the certificate for a new one".to_owned())
            }
            Self::NotYet { .. } => Some("check the clock of this machine".to_owned()),
            Self::OtherKey(_) => Some("the certificate and its key must come from the same request".to_owned()),
            Self::Read { what, .. }
            | Self::NotPem { what, .. }
            | Self::Unusable { what, .. }
            | Self::NotX509 { what, .. } => {
                Some(format!("check the {what} that --ca, --cert, --key or the configuration names"))
            }
            Self::Setup(_) => None,
        }
    }
}

/// Reads and checks the certificates and the key.
pub(super) fn client_config(settings: &Settings, context: Option<&str>) -> Result<Arc<ClientConfig>, Error> {
    let [ca, certificate, key] = configured(settings, context)?;
    let (_, _, config) = build(ca, certificate, key)?;
    Ok(Arc::new(config))
}

/// Checks the CA, the client certificate and its key, and returns what they contain.
pub(crate) fn read_configured(settings: &Settings, context: Option<&str>) -> Result<[Vec<u8>; 3], Error> {
    let [ca, certificate, key] = configured(settings, context)?;
    let contents = [read(CA, &ca)?, read(CERTIFICATE, &certificate)?, read(KEY, &key)?];
    build(ca, certificate, key)?;
    Ok(contents)
}

/// The CA, the client certificate and its key.
fn configured(settings: &Settings, context: Option<&str>) -> Result<[Material; 3], Error> {
    let need = |what: &'static str, material: &Option<Material>| {
        let missing =
            || Error::NotConfigured { what, context: context.map(str::to_owned), path: settings.path.clone() };
        material.clone().ok_or_else(missing)
    };
    let configured = [need(CA, &settings.ca)?, need(CERTIFICATE, &settings.certificate)?, need(KEY, &settings.key)?];
    if let Some(path) = key_file(settings).filter(|path| is_exposed(path)) {
        // Several contexts of a command may have it.
        static WARNING: Once = Once::new();
        let path = path.display();
        let warning = format!("warning: other users can read {path}, which holds a private key; run: chmod 600 {path}");
        WARNING.call_once(|| output::note(&warning));
    }
    Ok(configured)
}

/// The file that holds the client's key: one of its own, or the configuration.
fn key_file(settings: &Settings) -> Option<&Path> {
    match &settings.key {
        Some(Material::File(path)) => Some(path),
        Some(Material::Inline(_)) => settings.path.as_deref(),
        Some(Material::Imported { .. }) | None => None,
    }
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &Path) -> bool {
    false
}

/// Checks certificates and key before they are imported.
///
/// Returns why a server would refuse the client certificate if it trusted only this CA.
pub(crate) fn check_import(ca: Material, certificate: Material, key: Material) -> Result<Option<String>, Error> {
    let (roots, chain, _) = build(ca, certificate, key)?;
    let Some((leaf, intermediates)) = chain.split_first() else { return Ok(None) };
    let refusal = match WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build() {
        Ok(verifier) => verifier
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .err()
            .map(|e| certificate_problem::describe(&e)),
        Err(error) => Some(error.to_string()),
    };
    Ok(refusal)
}

type Built = (RootCertStore, Vec<CertificateDer<'static>>, ClientConfig);

fn build(ca: Material, certificate: Material, key: Material) -> Result<Built, Error> {
    let roots = read_roots(ca)?;
    let chain = read_chain(CERTIFICATE, &certificate)?;
    check_validity(&certificate, &chain, Timestamp::now())?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::Setup)?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.clone(), read_key(key.clone())?)
        .map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => Error::OtherKey(source),
            rustls::Error::InvalidCertificate(_) => {
                Error::Unusable { what: CERTIFICATE, origin: describe(&certificate), source }
            }
            source => Error::Unusable { what: KEY, origin: describe(&key), source },
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok((roots, chain, config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn describe(origin: &Material) -> String {
    format!("{origin:?}")
}

/// Reads the content, which is not checked.
pub(crate) fn read(what: &'static str, material: &Material) -> Result<Vec<u8>, Error> {
    match material {
        Material::Inline(content) | Material::Imported { content, .. } => Ok(content.clone()),
        Material::File(path) => fs::read(path).map_err(|source| Error::Read { what, path: path.clone(), source }),
    }
}

fn read_roots(origin: Material) -> Result<RootCertStore, Error> {
    let what = CA;
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(what, &origin)? {
        roots.add(certificate).map_err(|source| Error::Unusable { what, origin: describe(&origin), source })?;
    }
    Ok(roots)
}

/// Reads the certificates of a PEM text. There must be at least one.
fn read_chain(what: &'static str, origin: &Material) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |source| Error::NotPem { what, origin: describe(origin), source };
    let content = read(what, origin)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&content).collect::<Result<_, _>>().map_err(wrong)?;
    match chain.is_empty() {
        true => Err(wrong(pem::Error::NoItemsFound)),
        false => Ok(chain),
    }
}

fn read_key(origin: Material) -> Result<PrivateKeyDer<'static>, Error> {
    let what = KEY;
    let content = read(what, &origin)?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|source| Error::NotPem { what, origin: describe(&origin), source })
}

/// Checks the validity here, because the server's refusal would be less clear.
fn check_validity(origin: &Material, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), Error> {
    let parsed = chain.first().and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    let Some((_, leaf)) = parsed else {
        return Err(Error::NotX509 { what: CERTIFICATE, origin: describe(origin) });
    };
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or(now);
    let (start, end) = (time(leaf.validity().not_before.timestamp()), time(leaf.validity().not_after.timestamp()));
    let subject = common_name(&leaf);
    match now {
        now if now < start => Err(Error::NotYet { subject, at: start }),
        now if now > end => Err(Error::Expired { subject, at: end, ago: time::distance(end, now) }),
        _ => Ok(()),
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    let name = certificate.subject().iter_common_name().next();
    name.and_then(|name| name.as_str().ok()).unwrap_or("a user without a name").to_owned()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
