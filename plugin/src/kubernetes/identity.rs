//! The client certificate with which the user logs in to the API server.
//!
//! kube gives it to rustls, which refuses certificates of X.509 version 1, though it could send them. So this module
//! reads and checks it, as Go's `tls.X509KeyPair` does.

use std::sync::Arc;

use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SigningKey},
};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

/// Why a client certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no certificate in PEM")]
    NoCertificate,
    #[error("the certificate is no X.509 certificate")]
    NoX509,
    #[error("there is no private key in PEM")]
    NoKey,
    #[error("the private key is encrypted")]
    Encrypted,
    #[error(
        "the key is {0}, and this program can use RSA with 2048 to 4096 bits, ECDSA with P-256 or P-384, and Ed25519"
    )]
    Unsupported(String),
    #[error("the private key does not belong to the certificate")]
    OtherKey,
}

impl Error {
    /// What the user can do.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Encrypted => "store the key without a passphrase, as kubectl needs it too",
            Self::Unsupported(_) => {
                "get a client certificate with another key, or log in to the cluster with a token; see docs/kubeconfig.md"
            }
            Self::NoCertificate | Self::NoX509 | Self::NoKey | Self::OtherKey => {
                "`kubectl auth whoami` must work with the same context"
            }
        }
        .to_owned()
    }
}

/// Reads a chain of certificates, leaf first, and its key, each in PEM. Text between them is ignored.
pub(super) fn read(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain).filter_map(Result::ok).collect();
    let leaf = chain.first().ok_or(Error::NoCertificate)?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| Error::NoX509)?;
    let signing_key = read_key(key, &leaf)?;
    // The key is the last part of the information about a public key.
    let is_pair =
        signing_key.public_key().is_none_or(|info| info.ends_with(&leaf.public_key().subject_public_key.data));
    is_pair.then(|| Arc::new(CertifiedKey::new(chain, signing_key))).ok_or(Error::OtherKey)
}

fn read_key(pem: &[u8], leaf: &X509Certificate<'_>) -> Result<Arc<dyn SigningKey>, Error> {
    let is_encrypted = || String::from_utf8_lossy(pem).contains("ENCRYPTED");
    let absent = || if is_encrypted() { Error::Encrypted } else { Error::NoKey };
    let labelled = PrivateKeyDer::pem_slice_iter(pem).find_map(Result::ok).ok_or_else(absent)?;
    // The label in the PEM may be that of another format.
    let key = PrivateKeyDer::try_from(labelled.secret_der()).map_err(|_| absent())?;
    any_supported_type(&key).map_err(|_| Error::Unsupported(describe_key(leaf)))
}

fn describe_key(leaf: &X509Certificate<'_>) -> String {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA with {} bits", key.key_size()),
        // The size of P-521 is given in whole bytes.
        Ok(PublicKey::EC(point)) => {
            format!("ECDSA with P-{}", if point.key_size() == 528 { 521 } else { point.key_size() })
        }
        _ => "of another kind".to_owned(),
    }
}
