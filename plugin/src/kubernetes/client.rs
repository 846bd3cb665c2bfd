//! The client of the Kubernetes API server.

use std::{sync::Arc, time::Duration};

use hyper::{
    http::{HeaderValue, Request, Response, Uri, header::RETRY_AFTER},
    rt::{Read, Write},
};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{
            Connection, HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
    },
    rt::TokioExecutor,
};
use k8s_openapi::ByteString;
use kube::{
    Client, Error,
    client::{Body, ClientBuilder, ConfigExt, retry::RetryPolicy},
};
use rustls::{
    ClientConfig,
    pki_types::{ServerName, UnixTime},
    sign::SingleCertAndKey,
};
use tokio::time::Sleep;
use tower::{
    BoxError, Service, ServiceBuilder,
    retry::{Policy, RetryLayer},
};

use super::{
    api_server::ApiServer,
    proxy::{Protocol, Proxy},
    server_certificate::Verifier,
    system_roots,
    traced::Traced,
};

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
/// The longest Retry-After that a request waits for: people see nothing meanwhile. With a longer one the request ends
/// with the API server's answer.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Decides which requests are retried, and when.
#[derive(Clone)]
struct Retries(RetryPolicy);

/// Builds a client that sends each request at once.
///
/// `kube::Client::try_from` leaves Nagle's algorithm on, which delays small frames by 40 ms on a port-forward (kube-rs
/// issue 2056), sends no password to a SOCKS proxy, and refuses client certificates of X.509 version 1. Its layers can
/// only be replaced all together, so this function repeats those that matter here.
///
/// # Errors
///
/// When the configuration's certificates, credentials or headers cannot be used.
pub(super) fn build(server: &ApiServer) -> Result<Client, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE_AFTER));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    tcp.set_connect_timeout(server.config.connect_timeout);
    let Some(Proxy { protocol, uri, credentials }) = server.proxy.clone() else {
        return with_connector(server, tcp);
    };
    match protocol {
        Protocol::Http => with_connector(server, tunnel(Tunnel::new(uri, tcp), credentials)),
        // As in Go, the proxy's certificate is checked like that of the API server.
        Protocol::Https => with_connector(server, tunnel(Tunnel::new(uri, tls(server, tcp)?), credentials)),
        Protocol::Socks => {
            let socks = SocksV5::new(uri, tcp);
            match credentials {
                Some((name, password)) => with_connector(server, socks.with_auth(name, password)),
                None => with_connector(server, socks),
            }
        }
    }
}

/// Sends the user name and the password with CONNECT.
fn tunnel<C>(tunnel: Tunnel<C>, credentials: Option<(String, String)>) -> Tunnel<C> {
    let encode = |(name, password): (String, String)| {
        let text = serde_json::to_value(ByteString(format!("{name}:{password}").into_bytes())).ok()?;
        HeaderValue::from_str(&format!("Basic {}", text.as_str()?)).ok()
    };
    match credentials.and_then(encode) {
        Some(header) => tunnel.with_auth(header),
        None => tunnel,
    }
}

/// Adds TLS to a connector, for servers whose URL asks for it.
fn tls<C>(server: &ApiServer, connector: C) -> Result<HttpsConnector<C>, Error> {
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls_config(server)?).https_or_http();
    if let Some(name) = server.config.tls_server_name.clone().and_then(|name| ServerName::try_from(name).ok()) {
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(connector))
}

fn tls_config(server: &ApiServer) -> Result<ClientConfig, Error> {
    let mut config = server.config.clone();
    let is_checked = !config.accept_invalid_certs && server.has_tls();
    if !is_checked {
        // kube looks for the CA certificates of the machine, and fails without any, even if nothing needs one.
        config.root_cert = Some(Vec::new());
    } else if config.root_cert.is_none() {
        config.root_cert = system_roots::read();
    }
    let mut tls = config.rustls_client_config()?;
    if let Some(trusted) = &config.root_cert
        && is_checked
    {
        let verifier = Verifier::new(trusted, UnixTime::now()).map_err(|error| Error::Service(error.into()))?;
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    if let Some(identity) = &server.identity {
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity.clone()));
    }
    Ok(tls)
}

fn with_connector<C>(server: &ApiServer, connector: C) -> Result<Client, Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let config = &server.config;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(tls(server, connector)?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Traced(http));
    let retries = RetryLayer::new(Retries::new()?);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).with_layer(&retries).build())
}

impl Retries {
    fn new() -> Result<Self, Error> {
        let policy = RetryPolicy::new(RETRY_MIN, RETRY_MAX, RETRIES, true);
        policy.map(Self).map_err(|error| Error::Service(error.into()))
    }
}

impl<T> Policy<Request<Body>, Response<T>, BoxError> for Retries {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        answer: &mut Result<Response<T>, BoxError>,
    ) -> Option<Self::Future> {
        let retry_after = answer.as_ref().ok().and_then(retry_after);
        match retry_after {
            Some(pause) if pause > MAX_RETRY_AFTER => None,
            _ => self.0.retry(request, answer),
        }
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<_, Response<T>, BoxError>::clone_request(&mut self.0, request)
    }
}

fn retry_after<T>(answer: &Response<T>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_a_short_retry_after_alone() {
        for (retry_after, expected) in [(None, true), (Some("5"), true), (Some("6"), false), (Some("soon"), true)] {
            let mut answer = Response::builder().status(429);
            if let Some(retry_after) = retry_after {
                answer = answer.header(RETRY_AFTER, retry_after);
            }
            let mut answer = Ok(answer.body(()).unwrap());
            let retry = Retries::new().unwrap().retry(&mut Request::new(Body::empty()), &mut answer);
            assert_eq!(retry.is_some(), expected, "{retry_after:?}");
        }
    }
}
