//! Typed calls, for tests that make thousands.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use replica_count_manager::proto::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// A client's certificate and whom it trusts.
pub(crate) struct Certificate {
    pub(crate) ca: Vec<u8>,
    pub(crate) pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificate {
    /// The first certificate in a folder that the certificates command made.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        Self::of(folder, "client")
    }

    /// The certificate in a folder of that folder.
    pub(crate) fn of(folder: &Path, client: &str) -> Result<Self> {
        let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("failed to read {name}"));
        let client = |file: &str| read(&format!("{client}/{file}"));
        Ok(Self { ca: read("ca/ca.crt")?, pair: Some((client("client.crt")?, client("client.key")?)) })
    }

    pub(crate) fn config(&self, version: &'static SupportedProtocolVersion) -> Result<ClientConfig> {
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
pub(crate) fn connect(address: String, certificate: &Certificate) -> Result<Channel> {
    Ok(dial(address, Arc::new(certificate.config(&rustls::version::TLS13)?)))
}

/// As [`connect`], with a configuration of the caller's.
pub(crate) fn dial(address: String, config: Arc<ClientConfig>) -> Channel {
    dial_as(Endpoint::from_static("https://localhost"), address, config)
}

/// As [`dial`], with settings of HTTP/2.
pub(crate) fn dial_as(endpoint: Endpoint, address: String, config: Arc<ClientConfig>) -> Channel {
    let connector = TlsConnector::from(config);
    let dial = tower::service_fn(move |_| {
        let (address, connector) = (address.clone(), connector.clone());
        async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, socket).await?))
        }
    });
    endpoint.connect_with_connector_lazy(dial)
}

/// The certificate that a server shows.
pub(crate) async fn shown(address: &str, certificate: &Certificate) -> Result<Vec<u8>> {
    let connector = TlsConnector::from(Arc::new(certificate.config(&rustls::version::TLS13)?));
    let socket = TcpStream::connect(address).await?;
    let stream = connector.connect(ServerName::try_from("localhost")?, socket).await?;
    let chain = stream.get_ref().1.peer_certificates().context("no certificate")?;
    Ok(chain.first().context("an empty chain")?.to_vec())
}

/// Makes calls, each on a connection of its own, until told to stop, and returns how many there were.
pub(crate) async fn call_until_stopped(
    address: String,
    certificate: Arc<Certificate>,
    stop: watch::Receiver<bool>,
) -> Result<usize> {
    let mut calls = 0;
    while !*stop.borrow() {
        let mut client = ReplicasServiceClient::new(connect(address.clone(), &certificate)?);
        client.list_replica_counts(v1::ListReplicaCountsRequest::default()).await?;
        calls += 1;
    }
    Ok(calls)
}
