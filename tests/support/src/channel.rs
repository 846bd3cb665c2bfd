//! Channels for typed calls.

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

/// A client's certificate, and the CA that it trusts.
pub struct Certificate {
    /// The CA, in PEM.
    pub ca: Vec<u8>,
    /// The certificate and its key, in PEM. Without them, the client presents no certificate.
    pub pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificate {
    /// Reads the client certificate of a folder that the certificates command made.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::of(folder, "client")
    }

    /// Reads the client certificate in the subfolder `client` of such a folder.
    pub fn of(folder: &Path, client: &str) -> Result<Self> {
        let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("failed to read {name}"));
        let client = |file: &str| read(&format!("{client}/{file}"));
        Ok(Self { ca: read("ca/ca.crt")?, pair: Some((client("client.crt")?, client("client.key")?)) })
    }

    /// A TLS configuration with one protocol version.
    pub fn tls_config(&self, version: &'static SupportedProtocolVersion) -> Result<ClientConfig> {
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

/// A channel that connects on its first call, and reconnects when it loses the connection.
pub fn connect(address: String, certificate: &Certificate) -> Result<Channel> {
    Ok(dial(address, Arc::new(certificate.tls_config(&rustls::version::TLS13)?)))
}

/// As [`connect`], with the caller's TLS configuration.
pub fn dial(address: String, config: Arc<ClientConfig>) -> Channel {
    dial_with_endpoint(Endpoint::from_static("https://localhost"), address, config)
}

/// As [`dial`], with the caller's HTTP/2 settings.
pub fn dial_with_endpoint(endpoint: Endpoint, address: String, config: Arc<ClientConfig>) -> Channel {
    let dial = tower::service_fn(move |_| {
        let (address, config) = (address.clone(), config.clone());
        async move { handshake(&address, config).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector_lazy(dial)
}

/// Connects to a server on this machine, and completes the TLS handshake.
pub async fn handshake(address: &str, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, socket).await
}

/// The certificate that a server presents.
pub async fn served_certificate(address: &str, certificate: &Certificate) -> Result<Vec<u8>> {
    let stream = handshake(address, Arc::new(certificate.tls_config(&rustls::version::TLS13)?)).await?;
    let chain = stream.get_ref().1.peer_certificates().context("no certificate")?;
    Ok(chain.first().context("an empty chain")?.to_vec())
}
