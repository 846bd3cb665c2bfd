//! Client certificates of every kind, and what becomes of a connection with one.

use std::{fs, io, path::Path, sync::Arc};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
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

use super::{PATIENCE, handshake};

/// A chain and a key, shown whatever the server asks for, and whether they fit or not.
#[derive(Clone, Debug)]
pub struct Presented(pub Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Presented {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl Presented {
    /// No certificate at all.
    pub fn none() -> Self {
        Self(None)
    }

    /// A chain, leaf first, and a key.
    pub fn chain(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self> {
        Ok(Self(Some(Arc::new(CertifiedKey::new(chain, ring::sign::any_supported_type(key)?)))))
    }

    /// What files hold in PEM.
    pub fn files(certificate: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
        Self::chain(chain, &PrivateKeyDer::from_pem_file(key)?)
    }

    /// How a client that presents this speaks TLS 1.3 with a server of a CA.
    pub fn config(&self, ca: &Path) -> Result<ClientConfig> {
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

/// A CA whose key the test has.
pub struct Signer {
    /// The certificate, in DER.
    pub certificate: CertificateDer<'static>,
    /// What it signs with.
    pub issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    /// The CA in a folder that the certificates command made.
    pub fn load(folder: &Path) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(folder.join("ca/ca.crt"))?;
        let key = KeyPair::from_pem(&fs::read_to_string(folder.join("ca/ca.key"))?)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { certificate, issuer })
    }

    /// Signs a certificate with a new P-256 key.
    pub fn sign(&self, params: CertificateParams) -> Result<Presented> {
        self.sign_key(params, &KeyPair::generate()?)
    }

    /// Signs a certificate with this key.
    pub fn sign_key(&self, params: CertificateParams, key: &KeyPair) -> Result<Presented> {
        let certificate = params.signed_by(key, &self.issuer)?.der().clone();
        Presented::chain(vec![certificate], &PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?)
    }
}

/// Begins the certificate of a client, as our command makes them.
pub fn client(user: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// Connects, and waits for what the server says first: in TLS 1.3, the client is done before its certificate is checked.
pub async fn connect(address: &str, config: Arc<ClientConfig>) -> Result<io::Result<TlsStream<TcpStream>>> {
    let attempt = async {
        let mut stream = handshake(address, config).await?;
        // Its HTTP/2 settings.
        stream.read_u8().await?;
        Ok(stream)
    };
    timeout(PATIENCE, attempt).await.context("the server says nothing")
}

/// A CertificateSigningRequest of a new key, with its name, signer and extended usage.
pub fn certificate_request(name: &str, signer: &str, usage: &str) -> Result<Value> {
    let pem = CertificateParams::new(Vec::new())?.serialize_request(&KeyPair::generate()?)?.pem()?;
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"signerName": signer, "usages": ["digital signature", usage],
                 "request": k8s_openapi::ByteString(pem.into_bytes())},
    }))
}
