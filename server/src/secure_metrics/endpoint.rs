//! Serves `/metrics` over TLS, without certificates of clients, to users who may read it.
//!
//! Everybody who reaches the port may connect. So a connection is for one request and a short time, as on the plain
//! port, and nothing but the head of its request is read.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use hyper::{
    StatusCode,
    header::{HeaderValue, WWW_AUTHENTICATE},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tonic::codegen::http::request::Parts;

use super::readers::Readers;
use crate::{
    runtime::{
        connections::Connections,
        one_request::{self, Answer, not_found, of_metrics, refuse_writes, text},
    },
    telemetry::Metrics,
    tls::{Bounds, Credentials, OneWayConnection, one_way},
};

/// The most open connections. No probes come here, and each scraper has one. Together they take no more memory than the
/// answers of the plain port do, which serves no metrics then (SECURITY.md, What the bounds add up to).
const MAX_CONNECTIONS: usize = 32;

/// The bounds of connections before they are established: 64 wait, twice the open ones, and 16 make their handshakes at
/// once. Prometheus waits for 10 s in all, and the check of a token may take 7 of them.
const BEFORE_ESTABLISHED: Bounds = Bounds { hellos: 64, handshakes: 16, timeout: Duration::from_secs(3) };

/// The most bytes of a request's line and headers: a token of the greatest length, and as much beside it.
const MAX_HEAD: usize = 32 * 1024;

/// Serves for as long as it is polled.
pub(crate) async fn serve(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    readers: Arc<Readers>,
    metrics: Arc<Metrics>,
) {
    let mut incoming = pin!(one_way(listener, credentials, BEFORE_ESTABLISHED, metrics.clone()));
    let mut connections = Connections::new(MAX_CONNECTIONS);
    loop {
        tokio::select! {
            // Those that are open first: each reads what has arrived before another may take its place.
            biased;
            Some(()) = connections.ended() => {}
            next = incoming.next() => {
                let Some(next) = next else { return };
                // The accept loop counts connections that fail.
                let Ok(OneWayConnection { stream, peer }) = next else { continue };
                connections.make_room(1);
                connections.add(peer, connection(stream, peer.ip(), readers.clone(), metrics.clone()));
            }
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: IpAddr,
    readers: Arc<Readers>,
    metrics: Arc<Metrics>,
) {
    let (readers, metrics) = (&*readers, &*metrics);
    one_request::serve(stream, MAX_HEAD, move |request| answer(request, peer, readers, metrics)).await;
}

async fn answer(request: Parts, peer: IpAddr, readers: &Readers, metrics: &Metrics) -> Answer {
    if let Some(refusal) = refuse_writes(&request) {
        return refusal;
    }
    if request.uri.path() != "/metrics" {
        return not_found("there is /metrics");
    }
    let Err(refusal) = readers.check(&request.headers, peer).await else { return of_metrics(metrics) };
    let mut answer = text(refusal.status(), format!("{refusal}\n"));
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

#[cfg(test)]
mod tests;
