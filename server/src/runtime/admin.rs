//! `/livez`, `/readyz` and `/metrics` in plain HTTP, for kubelet and Prometheus.
//!
//! Everybody who reaches the port may connect, without a credential. So a connection is for one request and a short
//! time. If there are too many, the address with the most loses one, so it cannot keep the probes out.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::readiness::Readiness;
use crate::telemetry::Metrics;

/// The most open connections: many times what probes and scrapers need.
const MAX_CONNECTIONS: usize = 64;

/// The longest time of a connection. It is Prometheus' default for a scrape; a probe waits for a second.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The most bytes of a request's line and headers: the least that the HTTP implementation accepts.
const MAX_HEADER: usize = 8 * 1024;

/// The buffers of a socket in the kernel, in bytes each; Linux doubles the number. Without a bound they grow to
/// megabytes, which are charged to the pod's memory.
const SOCKET_BUFFER: usize = 32 * 1024;

/// The pause after the operating system refuses to accept a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The OpenMetrics content type (specification 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness, metrics: Arc<Metrics>) {
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            Some(_) = connections.tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    connections.make_room();
                    connections.spawn(peer, connection(socket, readiness.clone(), metrics.clone()));
                }
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first. Some may have ended.
    open: Vec<(IpAddr, AbortHandle)>,
}

impl Connections {
    fn spawn(&mut self, peer: SocketAddr, task: impl Future<Output = ()> + Send + 'static) {
        self.open.push((peer.ip().to_canonical(), self.tasks.spawn(task)));
    }

    /// Ends a connection if there are too many.
    fn make_room(&mut self) {
        self.open.retain(|(_, connection)| !connection.is_finished());
        if self.open.len() < MAX_CONNECTIONS {
            return;
        }
        let addresses: Vec<_> = self.open.iter().map(|(address, _)| *address).collect();
        if let Some(place) = to_end(&addresses) {
            self.open.remove(place).1.abort();
        }
    }
}

/// The place of the connection that makes room for another: the oldest of the address that has the most.
fn to_end(addresses: &[IpAddr]) -> Option<usize> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for address in addresses {
        *counts.entry(*address).or_default() += 1;
    }
    let most = counts.values().max()?;
    addresses.iter().position(|address| counts.get(address) == Some(most))
}

async fn connection(socket: TcpStream, readiness: Readiness, metrics: Arc<Metrics>) {
    let options = SockRef::from(&socket);
    // A socket without them works too.
    let _ = options.set_recv_buffer_size(SOCKET_BUFFER).and_then(|()| options.set_send_buffer_size(SOCKET_BUFFER));
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &readiness, &metrics))));
    let mut http = http1::Builder::new();
    let served = http.keep_alive(false).max_buf_size(MAX_HEADER).serve_connection(TokioIo::new(socket), service);
    match timeout(MAX_AGE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "connection ended"),
        Err(_) => debug!(seconds = MAX_AGE.as_secs(), "connection ended by its age"),
    }
}

fn answer(request: &Request<Incoming>, readiness: &Readiness, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n");
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match readiness.problem() {
            None => text(StatusCode::OK, "ok\n"),
            Some(problem) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
        },
        "/metrics" => match metrics.encode() {
            Ok(metrics) => {
                let mut response = text(StatusCode::OK, metrics);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
                response
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "not found: there are /livez, /readyz and /metrics\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_with_the_most_connections_loses_its_oldest() {
        for (name, open, ended) in [
            ("none", "", None),
            ("one address: its oldest", "aaaa", Some(0)),
            ("a flood beside a probe that came first", "paaaa", Some(1)),
            ("a flood beside a probe that came last", "aaap", Some(0)),
            ("two floods: the larger one", "abbabb", Some(1)),
            ("equal shares: the oldest", "abab", Some(0)),
        ] {
            let address = |letter: u8| IpAddr::from([10, 0, 0, letter]);
            let open: Vec<_> = open.bytes().map(address).collect();
            assert_eq!(to_end(&open), ended, "{name}");
        }
    }
}
