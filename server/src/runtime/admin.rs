//! `/livez`, `/readyz` and, unless they are behind TLS, `/metrics` in plain HTTP, for kubelet and Prometheus.
//!
//! Everybody who reaches the port may connect, without a credential. So a connection is for one request and a short
//! time. If there are too many, the address with the most loses one, so it cannot keep the probes out. A flood from the
//! probes' own address, as through a port-forward, does not either: each connection is read before another takes its
//! place, and a probe's request comes with its connection.

use std::{future::ready, sync::Arc, time::Duration};

use hyper::StatusCode;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tonic::codegen::http::request::Parts;
use tracing::warn;

use super::{
    connections::Connections,
    listen::accept,
    one_request::{self, Answer, not_found, of_metrics, refuse_writes, text},
    readiness::Readiness,
};
use crate::telemetry::Metrics;

/// The most open connections: many times what probes and scrapers need. In a flood of 5,000 a second from its own address,
/// a probe has 25 ms to send its request.
const MAX_CONNECTIONS: usize = 128;

/// The most bytes of a request's line and headers: the least that the HTTP implementation accepts.
const MAX_HEADER: usize = 8 * 1024;

/// The most connections that are accepted before they are read: fewer than there may be open, so that each is read once.
const MAX_BATCH: usize = 32;

/// The pause after the operating system refuses to accept a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where the metrics are served.
#[derive(Clone)]
pub(crate) enum MetricsPlace {
    /// On the plain port.
    Here(Arc<Metrics>),
    /// On this port, behind TLS.
    BehindTls(u16),
}

/// Serves for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness, metrics: MetricsPlace) {
    let mut connections = Connections::new(MAX_CONNECTIONS);
    loop {
        tokio::select! {
            // Those that are open first: each reads what has arrived before another may take its place.
            biased;
            Some(()) = connections.ended() => {}
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

async fn connection(socket: TcpStream, readiness: Readiness, metrics: MetricsPlace) {
    one_request::serve(socket, MAX_HEADER, |request| ready(answer(&request, &readiness, &metrics))).await;
}

fn answer(request: &Parts, readiness: &Readiness, metrics: &MetricsPlace) -> Answer {
    if let Some(refusal) = refuse_writes(request) {
        return refusal;
    }
    match (request.uri.path(), metrics) {
        ("/livez", _) => text(StatusCode::OK, "ok\n"),
        ("/readyz", _) => match readiness.problem() {
            None => text(StatusCode::OK, "ok\n"),
            Some(problem) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
        },
        ("/metrics", MetricsPlace::Here(metrics)) => of_metrics(metrics),
        ("/metrics", MetricsPlace::BehindTls(port)) => {
            not_found(format!("port {port} serves the metrics over TLS, to users who may get /metrics"))
        }
        (_, MetricsPlace::Here(_)) => not_found("there are /livez, /readyz and /metrics"),
        (_, MetricsPlace::BehindTls(_)) => not_found("there are /livez and /readyz"),
    }
}
