//! `/livez`, `/readyz` and `/metrics` in plain HTTP, for kubelet and Prometheus.
//!
//! Everybody who reaches the port may connect, without a credential. So a connection is for one request and a short
//! time. If there are too many, the address with the most loses one, so it cannot keep the probes out. A flood from the
//! probes' own address, as through a port-forward, does not either: each connection is read before another takes its
//! place, and a probe's request comes with its connection.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
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
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    by_address::{ByAddress, Entry},
    listen::accept,
    readiness::Readiness,
};
use crate::telemetry::Metrics;

/// The most open connections: many times what probes and scrapers need. In a flood of 5,000 a second from its own address,
/// a probe has 25 ms to send its request.
const MAX_CONNECTIONS: usize = 128;

/// The longest time of a connection. It is Prometheus' default for a scrape; a probe waits for a second.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The most bytes of a request's line and headers: the least that the HTTP implementation accepts.
const MAX_HEADER: usize = 8 * 1024;

/// The most connections that are accepted before they are read: fewer than there may be open, so that each is read once.
const MAX_BATCH: usize = 32;

/// The connections that wait to be accepted. A probe that finds no room waits for a second, which is all the time that
/// it has. They are accepted within milliseconds.
pub(crate) const BACKLOG: u32 = 4096;

/// The pause after the operating system refuses to accept a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The OpenMetrics content type (specification 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness, metrics: Arc<Metrics>) {
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            // Those that are open first: each reads what has arrived before another may take its place.
            biased;
            Some(ended) = connections.running.next() => drop(connections.open.take(ended)),
            accepted = accept(&listener, MAX_BATCH) => match accepted {
                Ok(accepted) => {
                    connections.make_room(accepted.len());
                    for (socket, peer) in accepted {
                        connections.add(peer, connection(socket, readiness.clone(), metrics.clone()));
                    }
                }
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// The open connections. They are no tasks of their own: a task may wait for its turn while others take its place.
#[derive(Default)]
struct Connections {
    running: FuturesUnordered<BoxFuture<'static, Entry>>,
    open: ByAddress<AbortHandle>,
}

impl Connections {
    fn add(&mut self, peer: SocketAddr, connection: impl Future<Output = ()> + Send + 'static) {
        let (connection, end) = abortable(connection);
        let entry = self.open.add(peer.ip(), end);
        self.running.push(connection.map(move |_| entry).boxed());
    }

    /// Ends connections, so that there is room for more.
    fn make_room(&mut self, more: usize) {
        for _ in 0..(self.open.len() + more).saturating_sub(MAX_CONNECTIONS) {
            let Some(end) = self.open.take_of_most() else { return };
            end.abort();
        }
    }
}

async fn connection(socket: TcpStream, readiness: Readiness, metrics: Arc<Metrics>) {
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
