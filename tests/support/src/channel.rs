//! Typed calls, for tests that make thousands.

use std::{fs, io, path::Path, sync::Arc};

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

/// A client's certificate and whom it trusts.
pub struct Certificate {
    /// The CA, in PEM.
    pub ca: Vec<u8>,
    /// The certificate and its key, in PEM.
    pub pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificate {
    /// The first certificate in a folder that the certificates command made.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::of(folder, "client")
    }

    /// The certificate in a folder of that folder.
    pub fn of(folder: &Path, client: &str) -> Result<Self> {
        let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("failed to read {name}"));
        let client = |file: &str| read(&format!("{client}/{file}"));
        Ok(Self { ca: read("ca/ca.crt")?, pair: Some((client("client.crt")?, client("client.key")?)) })
    }

    /// A configuration of TLS that speaks this version only.
    pub fn config(&self, version: &'static SupportedProtocolVersion) -> Result<ClientConfig> {
        let mut authorities = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.ca) {
            authorities.add(certificate?)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])?
            .with_root_certificates(authorities);
        let mut config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>()?;
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// A channel that connects on its first call, and again when the connection is lost.
pub fn connect(address: String, certificate: &Certificate) -> Result<Channel> {
    Ok(dial(address, Arc::new(certificate.config(&rustls::version::TLS13)?)))
}

/// As [`connect`], with a configuration of the caller's.
pub fn dial(address: String, config: Arc<ClientConfig>) -> Channel {
    dial_as(Endpoint::from_static("https://localhost"), address, config)
}

/// As [`dial`], with settings of HTTP/2.
pub fn dial_as(endpoint: Endpoint, address: String, config: Arc<ClientConfig>) -> Channel {
    let dial = tower::service_fn(move |_| {
        let (address, config) = (address.clone(), config.clone());
        async move { handshake(&address, config).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector_lazy(dial)
}

/// Connects to a server on this machine and speaks TLS with it.
pub async fn handshake(address: &str, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, socket).await
}
