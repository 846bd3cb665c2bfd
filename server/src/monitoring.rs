//! The probes and the metrics as a part of the server: their listeners, and what serves them.

use std::{future::pending, io, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use kube::Client;
use tokio::net::TcpListener;
use tracing::info;

use crate::{
    admission::Certificate,
    args::Args,
    parts::Parts,
    runtime::{
        admin::{self, MetricsPlace},
        listen::{Buffers, listen},
        readiness::Readiness,
    },
    secure_metrics::{self, Readers},
    telemetry::Metrics,
};

/// The listeners of the probes and of the metrics.
pub(crate) struct MonitoringListeners {
    /// The plain port.
    plain: TcpListener,
    /// The port of the metrics behind TLS, with its number, if the settings ask for it.
    secure: Option<(TcpListener, u16)>,
}

impl MonitoringListeners {
    /// Listens.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be used, and why.
    pub(crate) fn bind(args: &Args) -> Result<Self, anyhow::Error> {
        let plain = listen(args.http_address, Buffers::SMALL_REQUESTS).context("failed to listen on HTTP_ADDRESS")?;
        let Some(address) = args.metrics_address else { return Ok(Self { plain, secure: None }) };
        let secure = listen(address, Buffers::SMALL_REQUESTS).context("failed to listen on METRICS_ADDRESS")?;
        let address = secure.local_addr()?;
        info!(%address, "listening for scrapes of the metrics");
        Ok(Self { plain, secure: Some((secure, address.port())) })
    }

    /// The address of the plain port.
    ///
    /// # Errors
    ///
    /// When the operating system does not say it.
    pub(crate) fn plain_address(&self) -> io::Result<SocketAddr> {
        self.plain.local_addr()
    }

    /// Starts the parts that answer.
    pub(crate) fn serve(
        self,
        parts: &mut Parts,
        readiness: Readiness,
        metrics: &Arc<Metrics>,
        client: &Client,
        certificate: Certificate,
    ) {
        let place = match self.secure {
            None => MetricsPlace::Here(metrics.clone()),
            Some((listener, port)) => {
                let (readers, metrics) = (Readers::new(client.clone()), metrics.clone());
                parts.spawn("metrics behind TLS", async move {
                    // Without a certificate, the server is about to stop.
                    let Ok(credentials) = certificate.await else { return pending().await };
                    secure_metrics::serve(listener, credentials, readers, metrics).await;
                });
                MetricsPlace::BehindTls(port)
            }
        };
        parts.spawn("http", admin::serve(self.plain, readiness, place));
    }
}
