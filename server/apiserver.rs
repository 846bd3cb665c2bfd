//! The client of the Kubernetes API server that both programs use.

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

/// Finds out within 30 s that an API server is gone without a word: watches are silent by nature, and only the kernel
/// can tell.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// How a request is tried again that the API server refuses to serve for now (429, 503, 504): as often and as soon as
/// this, or later if its Retry-After says so. kubectl does the same.
const RETRIES: u32 = 3;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Builds a client that sends each request at once.
///
/// `kube::Client::try_from` leaves Nagle's algorithm on, which holds small frames back for 40 ms on a port-forward
/// (kube-rs issue 2056). Its stack can only be replaced as a whole, so this one names again the layers that matter
/// here. A proxy in the configuration is the caller's business: this client dials the API server itself.
///
/// # Errors
///
/// When the configuration's certificates, credentials or headers cannot be used.
pub fn client(config: &Config) -> Result<Client, Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE_AFTER));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let retries =
        RetryPolicy::new(RETRY_MIN, RETRY_MAX, RETRIES, true).map_err(|error| Error::Service(error.into()))?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(retries))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}
