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
    core::{Status, response::StatusDetails},
};
use tokio::time::{Sleep, timeout};
use tonic::codegen::{
    Body as HttpBody, Bytes,
    http::{
        Request, Response, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
};
use tower::{
    BoxError, Service, ServiceBuilder,
    retry::{Policy, RetryLayer},
};

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
/// The longest Retry-After that a request waits for. With a longer one the request ends with the API server's answer,
/// because a request that waits longer meets its own deadline, whose error does not say that the API server is busy.
const MAX_RETRY_AFTER: Duration = RETRY_MAX;

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
pub(crate) fn retries() -> Result<RetryLayer<Retries>, Error> {
    let policy = RetryPolicy::new(RETRY_MIN, RETRY_MAX, RETRIES, true).map_err(|error| Error::Service(error.into()))?;
    Ok(RetryLayer::new(Retries(policy)))
}

/// Decides which requests are retried, and when.
#[derive(Clone)]
pub(crate) struct Retries(RetryPolicy);

/// Marks a request that is not retried.
#[derive(Clone)]
struct Once;

impl<T> Policy<Request<Body>, Response<T>, BoxError> for Retries {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        answer: &mut Result<Response<T>, BoxError>,
    ) -> Option<Self::Future> {
        if request.extensions().get::<Once>().is_some() {
            return None;
        }
        let retry_after = answer.as_ref().ok().and_then(retry_after);
        let is_long = retry_after.is_some_and(|pause| pause > MAX_RETRY_AFTER);
        let retry = if is_long { None } else { self.0.retry(request, answer) };
        if retry.is_none()
            && let (Some(pause), Ok(refusal)) = (retry_after, &*answer)
            && refusal.status() == StatusCode::TOO_MANY_REQUESTS
            && !is_json(refusal)
        {
            *answer = Err(too_many_requests(pause).into());
        }
        retry
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<_, Response<T>, BoxError>::clone_request(&mut self.0, request)
    }
}

fn retry_after<T>(answer: &Response<T>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_json<T>(answer: &Response<T>) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// The refusal of a busy API server, with its Retry-After. API Priority and Fairness answers in plain text, from which
/// kube makes an error without it.
fn too_many_requests(retry_after: Duration) -> Error {
    let details = StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: retry_after.as_secs().try_into().unwrap_or(u32::MAX),
    };
    let status = Status::failure("Too many requests, please try again later.", "TooManyRequests");
    Error::Api(status.with_code(StatusCode::TOO_MANY_REQUESTS.as_u16()).with_details(details).boxed())
}

/// Whether the API server answers. Every answer will do: one that is busy can be reached.
pub(crate) async fn is_answering(client: &Client) -> bool {
    let Ok(request) = Request::get("/version").extension(Once).body(Body::empty()) else { return false };
    client.send(request).await.is_ok()
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
    use tokio::{net::TcpListener, time::Instant};

    use super::*;

    /// A client of an API server that is busy, and asks for a pause of so many seconds.
    fn busy(retry_after: &'static str) -> Client {
        let answer = tower::service_fn(move |_: Request<Body>| async move {
            let busy = Response::builder().status(429).header(RETRY_AFTER, retry_after).body(Body::empty())?;
            Ok::<_, BoxError>(busy)
        });
        Client::new(ServiceBuilder::new().layer(retries().unwrap()).service(answer), "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_short_retry_after_alone() {
        for (retry_after, retries, seconds) in [("1", RETRIES, 1), ("2", RETRIES, 2), ("3", 0, 0), ("86400", 0, 0)] {
            let (client, began) = (busy(retry_after), Instant::now());
            let error = client.apiserver_version().await.unwrap_err();
            let Error::Api(status) = error else { panic!("{retry_after}: {error}") };
            let asked = status.details.as_ref().map(|details| details.retry_after_seconds.to_string());
            assert_eq!((status.code, asked.as_deref()), (429, Some(retry_after)));
            assert_eq!(began.elapsed().as_secs(), u64::from(retries) * seconds, "{retry_after}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_api_server_is_known_to_answer_without_a_retry() {
        let began = Instant::now();
        assert!(is_answering(&busy("1")).await);
        assert_eq!(began.elapsed().as_secs(), 0);
        let gone = tower::service_fn(|_: Request<Body>| async { Err::<Response<Body>, BoxError>("gone".into()) });
        assert!(!is_answering(&Client::new(gone, "default")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = client(&Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::default_namespaced(client);
        let started = Instant::now();
        let Err(error) = leases.watch(&WatchParams::default(), "0").await else { panic!("it was answered") };
        assert_eq!(
            crate::telemetry::chain(&error).to_string(),
            "ServiceError: the API server did not answer within 65 s"
        );
        assert_eq!(started.elapsed().as_secs(), ANSWER.as_secs());
    }
}
