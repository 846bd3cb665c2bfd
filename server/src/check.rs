//! `replica-count-manager check`: calls a server as its clients do. The chart's test runs it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::tls::Files;

/// The longest time that the connection and the call may take together: as long as a handshake may take on the server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The server to check.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Address of the server
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: String,

    /// Name that the server's certificate must be valid for
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: String,
}

/// Calls the health service.
///
/// # Errors
///
/// When the certificate cannot be used, or the server cannot be reached, refuses the call, or does not serve.
pub async fn run(check: CheckArgs, files: &Files) -> Result<(), anyhow::Error> {
    let CheckArgs { address, server_name } = check;
    let connector = TlsConnector::from(Arc::new(files.client()?));
    let name =
        ServerName::try_from(server_name.clone()).with_context(|| format!("{server_name:?} is not a server name"))?;
    let call = async {
        let target = address.clone();
        let dial = tower::service_fn(move |_| {
            let (address, name, connector) = (target.clone(), name.clone(), connector.clone());
            async move {
                Ok::<_, std::io::Error>(TokioIo::new(
                    connector.connect(name, TcpStream::connect(address).await?).await?,
                ))
            }
        });
        let channel = Endpoint::from_static("https://server").connect_with_connector(dial).await?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
        Ok::<_, anyhow::Error>(answer.into_inner().status())
    };
    let status = timeout(TIMEOUT, call).await.unwrap_or_else(|_| bail!("no answer within {TIMEOUT:?}"));
    // In TLS 1.3, the server checks the client's certificate after the client has finished the handshake, and closes
    // the connection if it refuses the certificate.
    let refused =
        || format!("failed to call {address}; if the server closed the connection, it may refuse this certificate");
    match status.with_context(refused)? {
        ServingStatus::Serving => Ok(()),
        other => bail!("{address} answers {}", other.as_str_name()),
    }
}
