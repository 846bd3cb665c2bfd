//! The PEM files of TLS: read, checked, and turned into configurations of rustls.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::clients::{ClientCa, ClientVerifier};

/// The files of a certificate, and of the authorities that its peers' certificates must come from.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// Certificate chain, PEM, leaf first
    #[arg(
        long = "cert-file",
        env = "CERT_FILE",
        global = true,
        value_name = "FILE",
        default_value = "/etc/replica-count-manager/tls/tls.crt"
    )]
    pub(crate) certificate: PathBuf,

    /// Private key of the certificate, PEM
    #[arg(
        long = "key-file",
        env = "KEY_FILE",
        global = true,
        value_name = "FILE",
        default_value = "/etc/replica-count-manager/tls/tls.key"
    )]
    pub(crate) key: PathBuf,

    /// Certificates of the authorities that the peers' certificates must come from, PEM
    #[arg(
        long = "ca-cert-file",
        env = "CA_CERT_FILE",
        global = true,
        value_name = "FILE",
        default_value = "/etc/replica-count-manager/tls/ca.crt"
    )]
    pub(crate) ca: PathBuf,
}

/// Why a certificate cannot be used. It never shows a part of the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no usable PEM.
    #[error("failed to parse {path} as PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// An authority's certificate cannot be used.
    #[error("failed to use a certificate in {path} as an authority")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities cannot be used.
    #[error("failed to use the authorities in {path}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
    /// The certificate and the key cannot be used together.
    #[error("failed to use the certificate in {certificate} with the key in {key}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate, its key and its authorities, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PemBundle {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) authorities: Vec<u8>,
}

/// A checked certificate of the server.
pub(super) struct ServerCertificate {
    pub(super) config: Arc<ServerConfig>,
    /// TLS for the webhooks and the metrics, whose callers show no certificate.
    pub(super) one_way: Arc<ServerConfig>,
    /// The authorities that were read with the certificate, in PEM.
    pub(super) authorities: Vec<u8>,
    /// Decides about the certificates of clients.
    pub(super) clients: Arc<ClientVerifier>,
    /// When the certificate ends, in seconds since 1970.
    pub(super) expires: i64,
}

/// A certificate chain and its key.
type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Files {
    pub(super) fn read(&self) -> Result<PemBundle, Error> {
        let (certificate, key, authorities) = (read(&self.certificate)?, read(&self.key)?, read(&self.ca)?);
        Ok(PemBundle { certificate, key, authorities })
    }

    /// Checks the content of the files. The paths are for error messages only. Certificates of clients must come from
    /// `ca`, and begin at `not_before` at the earliest.
    pub(super) fn check(
        &self,
        pem: &PemBundle,
        ca: ClientCa,
        not_before: Option<Timestamp>,
    ) -> Result<ServerCertificate, Error> {
        let provider = Arc::new(ring::default_provider());
        let authorities = Arc::new(self.authorities(pem)?);
        let chain = WebPkiClientVerifier::builder_with_provider(authorities, provider.clone())
            .build()
            .map_err(|source| Error::Authorities { path: self.ca.clone(), source })?;
        let clients = Arc::new(ClientVerifier::new(chain, not_before, ca));
        let (chain, key) = self.pair(pem)?;
        let expires = chain.first().map_or(0, |leaf| expiry(leaf));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map(|builder| builder.with_client_cert_verifier(clients.clone()))
            .and_then(|builder| builder.with_single_cert(chain, key))
            .map_err(|source| self.mismatch(source))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would not show the client's certificate again.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut one_way = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map(|builder| builder.with_no_client_auth().with_cert_resolver(config.cert_resolver.clone()))
            .map_err(|source| self.mismatch(source))?;
        // kube-apiserver calls webhooks by HTTP/1.1 only, and resumes no session. Prometheus takes what is offered.
        one_way.alpn_protocols = vec![b"http/1.1".to_vec()];
        one_way.send_tls13_tickets = 0;
        let (config, one_way) = (Arc::new(config), Arc::new(one_way));
        Ok(ServerCertificate { config, one_way, authorities: pem.authorities.clone(), clients, expires })
    }

    /// The configuration of a client that shows this certificate.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be used, and why.
    pub(crate) fn client(&self) -> Result<ClientConfig, Error> {
        let pem = self.read()?;
        let (chain, key) = self.pair(&pem)?;
        let authorities = self.authorities(&pem)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map(|builder| builder.with_root_certificates(authorities))
            .and_then(|builder| builder.with_client_auth_cert(chain, key))
            .map_err(|source| self.mismatch(source))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn authorities(&self, pem: &PemBundle) -> Result<RootCertStore, Error> {
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(&self.ca, &pem.authorities)? {
            authorities.add(certificate).map_err(|source| Error::Authority { path: self.ca.clone(), source })?;
        }
        Ok(authorities)
    }

    fn pair(&self, pem: &PemBundle) -> Result<Pair, Error> {
        let chain = certificates(&self.certificate, &pem.certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(&pem.key).map_err(|source| Error::Pem { path: self.key.clone(), source })?;
        Ok((chain, key))
    }

    fn mismatch(&self, source: rustls::Error) -> Error {
        Error::Pair { certificate: self.certificate.clone(), key: self.key.clone(), source }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() { Err(Error::NoCertificate(path.to_owned())) } else { Ok(certificates) }
}

/// When a certificate ends, in seconds since 1970; 0 if it cannot be read.
pub(super) fn expiry(leaf: &CertificateDer<'_>) -> i64 {
    X509Certificate::from_der(leaf).map_or(0, |(_, certificate)| certificate.validity().not_after.timestamp())
}
