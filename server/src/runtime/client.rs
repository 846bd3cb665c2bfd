//! Builds clients of the Kubernetes API server: how they connect, how long they wait, and what they retry.

use std::time::Duration;

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config, Error,
    api::PostParams,
    client::{Body, ClientBuilder, ConfigExt, retry::RetryPolicy},
};
use tokio::time::timeout;
use tonic::codegen::{
    Body as HttpBody, Bytes,
    http::{Request, Response},
};
use tower::{BoxError, Service, ServiceBuilder, retry::RetryLayer};

use crate::resources::FIELD_MANAGER;

/// TCP keepalive finds out within 30 s that an API server has vanished: 15 s of silence, then three probes 5 s apart. A
/// watch may be silent for longer.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long sent data may stay without an acknowledgement (`TCP_USER_TIMEOUT`). TCP keepalive does not run meanwhile, and
/// Linux repeats the data for 15 minutes.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How long the API server may take to begin its answer to any request. It ends requests after 60 s by itself
/// (`--request-timeout`), and answers requests to watch at once.
const ANSWER: Duration = Duration::from_secs(65);

#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", ANSWER.as_secs())]
struct Unanswered;

/// The most retries of a request that the API server refuses for now (429, 503, 504). kubectl retries those too.
const RETRIES: u32 = 3;
/// The pauses before retries, which a Retry-After of the API server may lengthen.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The parameters of writes that create or replace an object: our field manager.
pub(crate) fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Builds a client that sends each request at once.
///
/// `kube::Client::try_from` leaves Nagle's algorithm on, which delays small frames by 40 ms on a port-forward (kube-rs
/// issue 2056). Its stack can only be replaced as a whole, so this one repeats the layers that matter here. It ignores
/// a proxy in the configuration and dials the API server itself.
///
/// # Errors
///
/// When the configuration's certificates, credentials or headers cannot be used.
pub fn client(config: &Config) -> Result<Client, Error> {
    Ok(builder(config)?.with_layer(&retries()?).build())
}

/// Retries requests that the API server refuses for now: the outermost layer of every client.
///
/// # Errors
///
/// Never, with these settings.
pub(crate) fn retries() -> Result<RetryLayer<RetryPolicy>, Error> {
    let policy = RetryPolicy::new(RETRY_MIN, RETRY_MAX, RETRIES, true).map_err(|error| Error::Service(error.into()))?;
    Ok(RetryLayer::new(policy))
}

/// The builder of [`client`], for further layers within its retries.
///
/// # Errors
///
/// Like [`client`].
#[expect(clippy::type_complexity, reason = "only `impl` can name a stack of layers")]
pub fn builder(
    config: &Config,
) -> Result<
    ClientBuilder<
        impl Service<
            Request<Body>,
            Response = Response<impl HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
            Error = BoxError,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    >,
    Error,
> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE_AFTER));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_future(|answer| async move { timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(Unanswered.into())) })
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()))
}

#[cfg(test)]
mod tests {
    use kube::{Api, api::WatchParams};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = client(&Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::default_namespaced(client);
        let started = tokio::time::Instant::now();
        let Err(error) = leases.watch(&WatchParams::default(), "0").await else { panic!("it was answered") };
        assert_eq!(
            crate::telemetry::chain(&error).to_string(),
            "ServiceError: the API server did not answer within 65 s"
        );
        assert_eq!(started.elapsed().as_secs(), ANSWER.as_secs());
    }
}
