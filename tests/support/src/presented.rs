//! Client certificates of every kind, and connections that present them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use crate::{channel::handshake, constants::PATIENCE};

/// A certificate chain and a key. The client presents them even if they do not match each other or the server's
/// request.
#[derive(Clone, Debug)]
pub struct PresentedCertificate(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for PresentedCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl PresentedCertificate {
    /// No certificate.
    pub fn none() -> Self {
        Self(None)
    }

    /// A chain, leaf first, with a key.
    pub fn chain(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self> {
        Ok(Self(Some(Arc::new(CertifiedKey::new(chain, ring::sign::any_supported_type(key)?)))))
    }

    /// Reads the chain and the key from PEM files.
    pub fn files(certificate: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
        Self::chain(chain, &PrivateKeyDer::from_pem_file(key)?)
    }

    /// The TLS 1.3 configuration of a client that presents this and trusts a CA.
    pub fn tls_config(&self, ca: &Path) -> Result<ClientConfig> {
        let mut authorities = RootCertStore::empty();
        authorities.add(CertificateDer::from_pem_file(ca)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(authorities)
            .with_client_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// A CA with its key.
pub struct TestCa {
    /// The certificate, in DER.
    pub certificate: CertificateDer<'static>,
    /// The certificate with its key.
    pub issuer: Issuer<'static, KeyPair>,
}

impl TestCa {
    /// Reads the CA of a folder that the certificates command made.
    pub fn load(folder: &Path) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(folder.join("ca/ca.crt"))?;
        let key = KeyPair::from_pem(&fs::read_to_string(folder.join("ca/ca.key"))?)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { certificate, issuer })
    }

    /// Writes a client certificate of alice that expired in 2021, and its key, into a folder.
    pub fn write_expired(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let mut expired = client_params("alice");
        (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let key = KeyPair::generate()?;
        fs::create_dir_all(folder)?;
        let files = ["expired.crt", "expired.key"].map(|name| folder.join(name));
        fs::write(&files[0], expired.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(&files[1], key.serialize_pem())?;
        Ok(files)
    }

    /// Issues a certificate for a new P-256 key.
    pub fn sign(&self, params: CertificateParams) -> Result<PresentedCertificate> {
        self.sign_key(params, &KeyPair::generate()?)
    }

    /// Issues a certificate for a key.
    pub fn sign_key(&self, params: CertificateParams, key: &KeyPair) -> Result<PresentedCertificate> {
        let certificate = params.signed_by(key, &self.issuer)?.der().clone();
        PresentedCertificate::chain(
            vec![certificate],
            &PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
        )
    }
}

/// The parameters of a client certificate as the certificates command makes them.
pub fn client_params(user: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Connects, and waits for the server's first byte. In TLS 1.3 the client's handshake completes before the server has
/// checked the client certificate.
pub async fn connect(address: &str, config: Arc<ClientConfig>) -> Result<io::Result<TlsStream<TcpStream>>> {
    let attempt = async {
        let mut stream = handshake(address, config).await?;
        // The server's first bytes are its HTTP/2 settings.
        stream.read_u8().await?;
        Ok(stream)
    };
    timeout(PATIENCE, attempt).await.context("the server says nothing")
}

/// A CertificateSigningRequest for a new key, with a name, a signer and an extended key usage.
pub fn certificate_request(name: &str, signer: &str, usage: &str) -> Result<Value> {
    let pem = CertificateParams::new(Vec::new())?.serialize_request(&KeyPair::generate()?)?.pem()?;
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"signerName": signer, "usages": ["digital signature", usage],
                 "request": k8s_openapi::ByteString(pem.into_bytes())},
    }))
}
