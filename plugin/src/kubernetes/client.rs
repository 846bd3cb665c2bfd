//! The client of the Kubernetes API server.

use std::time::Duration;

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config, Error,
    client::{Body, ClientBuilder, ConfigExt, retry::RetryPolicy},
};
use tower::{BoxError, ServiceBuilder, retry::RetryLayer};

/// Keepalive probes detect a vanished API server within 30 s (15 s and three probes 5 s apart). While a stream is idle,
/// only the kernel can notice that.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Retries of a request that the API server refuses for the moment (429, 503, 504), as in kubectl. The API server can
/// lengthen the pause with Retry-After.
const RETRIES: u32 = 3;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Builds a client that sends each request at once.
///
/// `kube::Client::try_from` leaves Nagle's algorithm on, which delays small frames by 40 ms on a port-forward (kube-rs
/// issue 2056). Its layers can only be replaced all together, so this function repeats those that matter here. It dials
/// the API server directly; the caller handles proxies.
///
/// # Errors
///
/// When the configuration's certificates, credentials or headers cannot be used.
pub(super) fn build(config: &Config) -> Result<Client, Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE_AFTER));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    let retries =
        RetryPolicy::new(RETRY_MIN, RETRY_MAX, RETRIES, true).map_err(|error| Error::Service(error.into()))?;
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).with_layer(&RetryLayer::new(retries)).build())
}
