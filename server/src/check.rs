//! `replica-count-manager check`: one call to a server, as its clients make it. The chart's test runs it.

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

/// How long the connection and the call may take together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Which server to check.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Address of the server
    #[arg(long, value_name = "HOST:PORT")]
    pub address: String,

    /// Name that the server's certificate must be for
    #[arg(long, value_name = "NAME")]
    pub server_name: String,
}

/// Makes the call.
///
/// # Errors
///
/// When the certificate cannot be used, the server cannot be reached or refuses, or says that it does not serve.
pub async fn run(check: CheckArgs, files: &Files) -> Result<(), anyhow::Error> {
    let CheckArgs { address, server_name } = check;
    let connector = TlsConnector::from(Arc::new(files.client()?));
    let name =
        ServerName::try_from(server_name.clone()).with_context(|| format!("{server_name:?} is no server name"))?;
    let call = async {
        let dialled = address.clone();
        let dial = tower::service_fn(move |_| {
            let (address, name, connector) = (dialled.clone(), name.clone(), connector.clone());
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
    // In TLS 1.3 the server refuses a certificate only after the client's part of the handshake is done.
    let refused =
        || format!("failed to call {address}; a server that closes the connection may refuse this certificate");
    match status.with_context(refused)? {
        ServingStatus::Serving => Ok(()),
        other => bail!("{address} answers {}", other.as_str_name()),
    }
}
