//! Serves the webhooks while this replica leads: HTTP/1.1 over TLS, which is all that kube-apiserver speaks to webhooks.
//!
//! Everybody who reaches the port may connect, without a certificate. A connection has a second to show the secret path
//! ([`super::paths`]). Until then it can lose its place to a later one, and nothing but the head of its request is read.
//! An error ends in an error answer or a closed connection, and the API server lets the write through (failurePolicy
//! Ignore).

use std::{future::pending, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures::{
    FutureExt, Stream, StreamExt,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tracing::{debug, error};

use super::{
    bodies::Bodies,
    handle::{Reviewer, handle},
    paths::Paths,
};
use crate::{
    leader::{Leadership, Term},
    runtime::{
        by_address::{ByAddress, Entry},
        listen::Buffers,
    },
    telemetry::Metrics,
    tls::{Bounds, Credentials, OneWayConnection, one_way},
};

/// The bounds of connections before they are established.
///
/// * 256 before their handshake: a full backlog of an API server, and as many silent ones beside it.
/// * 32 handshakes under way. They share a thread with the reviews, and each takes less than a millisecond of it: a review
///   waits for no more than this number of them.
/// * 1 s from a connection to the end of its handshake: the time that an API server waits for a webhook.
const BEFORE_ESTABLISHED: Bounds = Bounds { hellos: 256, handshakes: 32, timeout: Duration::from_secs(1) };

/// The most connections that have not shown the secret path yet.
const MAX_UNPROVEN: usize = 128;

/// The most connections that have. An API server keeps 25 idle ones, and opens more for more writes at once.
const MAX_PROVEN: usize = 256;

/// The longest time until a connection shows the secret path. An API server sends it with the end of the handshake.
const PROOF_TIME: Duration = Duration::from_secs(1);

/// The longest time of a review. The API server does not wait longer.
const REVIEW_TIME: Duration = Duration::from_secs(1);

/// The longest silence between two reviews. kube-apiserver itself closes idle connections after 90 s.
const IDLE_TIME: Duration = Duration::from_secs(120);

/// The longest time for the reviews that are open at the end of a term.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The most bytes of a request that are read at once, its line and headers included.
const MAX_BUFFER: usize = 32 * 1024;

/// The largest review, of 8 MiB, takes 128 round trips with it, which must fit into a second. An answer has a few hundred
/// bytes.
pub(crate) const BUFFERS: Buffers = Buffers { receive: 64 * 1024, send: 8 * 1024 };

/// What is needed to answer.
pub(crate) struct Webhooks {
    reviewer: Reviewer,
    paths: Arc<Paths>,
    bodies: Bodies,
    proven: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// The proof that a connection is from the API server: its place among those that are.
#[derive(Default)]
struct Proof(Mutex<Option<OwnedSemaphorePermit>>);

/// The connection has no secret path, or there are too many that have one.
#[derive(Debug, thiserror::Error)]
#[error("the connection does not show the secret path")]
struct Unproven;

impl Webhooks {
    /// Answers requests to these paths.
    pub(crate) fn new(reviewer: Reviewer, paths: Arc<Paths>) -> Self {
        let (proven, metrics) = (Arc::new(Semaphore::new(MAX_PROVEN)), reviewer.metrics.clone());
        Self { reviewer, paths, bodies: Bodies::default(), proven, metrics }
    }

    /// Serves for as long as it is polled. Connections that come while this replica does not lead are closed at once.
    pub(crate) async fn serve(self, listener: TcpListener, credentials: Arc<Credentials>, mut leadership: Leadership) {
        let webhooks = Arc::new(self);
        let mut incoming = pin!(one_way(listener, credentials, BEFORE_ESTABLISHED, webhooks.metrics.clone()));
        loop {
            let term = tokio::select! {
                term = leadership.begins() => term,
                Some(_) = incoming.next() => continue,
            };
            serve_term(&webhooks, incoming.as_mut(), &term).await;
        }
    }

    /// Counts a connection that is ended.
    fn refuse(&self) {
        self.metrics.admission.connections_refused.inc();
    }
}

/// Serves until the term is over.
async fn serve_term(
    webhooks: &Arc<Webhooks>,
    mut incoming: impl Stream<Item = std::io::Result<OneWayConnection>> + Unpin,
    term: &Term,
) {
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            // Those that are open first: each reads what has arrived before another may take its place.
            biased;
            Some(ended) = connections.running.next() => drop(connections.unproven.take(ended)),
            () = term.ends() => break,
            Some(next) = incoming.next() => {
                // The accept loop counts connections that fail.
                let Ok(OneWayConnection { stream, peer }) = next else { continue };
                webhooks.metrics.admission.connections_refused.inc_by(connections.make_room());
                let proof = Arc::<Proof>::default();
                let connection = connection(webhooks.clone(), term.clone(), stream, proof.clone());
                let (connection, end) = abortable(connection);
                let entry = connections.unproven.add(peer.ip(), (proof, end));
                connections.running.push(connection.map(move |_| entry).boxed());
            }
        }
    }
    let _ = timeout(CLOSE_TIME, async { while connections.running.next().await.is_some() {} }).await;
}

/// The open connections. They are no tasks of their own: a task may wait for its turn while others take its place.
#[derive(Default)]
struct Connections {
    running: FuturesUnordered<BoxFuture<'static, Entry>>,
    /// Those without a proof when they were looked at last.
    unproven: ByAddress<(Arc<Proof>, AbortHandle)>,
}

impl Connections {
    /// Ends a connection without a proof if there are too many, and returns how many it has ended.
    fn make_room(&mut self) -> u64 {
        let mut ended = 0;
        while self.unproven.len() >= MAX_UNPROVEN
            && let Some((proof, end)) = self.unproven.take_of_most()
        {
            if !proof.is_given() {
                end.abort();
                ended += 1;
            }
        }
        ended
    }
}

impl Proof {
    fn is_given(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Takes a place, unless it has one. Returns whether it has one now.
    fn give(&self, places: &Arc<Semaphore>) -> bool {
        let mut place = self.0.lock();
        if place.is_none() {
            *place = places.clone().try_acquire_owned().ok();
        }
        place.is_some()
    }
}

/// Serves a connection until its peer ends it, the term is over, or it gives no proof in time.
async fn connection(
    webhooks: Arc<Webhooks>,
    term: Term,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    proof: Arc<Proof>,
) {
    let (webhooks, term, proof) = (&*webhooks, &term, &*proof);
    let service = service_fn(move |request: Request<Incoming>| answer(webhooks, term, proof, request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME).max_buf_size(MAX_BUFFER);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    let unproven = async {
        sleep(PROOF_TIME).await;
        if proof.is_given() {
            pending().await
        }
    };
    tokio::select! {
        ended = served.as_mut() => {
            if let Err(error) = ended {
                debug!(%error, "connection of a webhook ended");
            }
            return;
        }
        () = unproven => return webhooks.refuse(),
        () = term.ends() => {}
    }
    // The API server connects again, to the next leader.
    served.as_mut().graceful_shutdown();
    let _ = timeout(CLOSE_TIME, served).await;
}

/// Answers a request. One without the secret path ends its connection.
async fn answer<B: Body<Data = Bytes>>(
    webhooks: &Webhooks,
    term: &Term,
    proof: &Proof,
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, Unproven> {
    let endpoint = webhooks.paths.endpoint(request.uri().path(), Instant::now());
    let Some(endpoint) = endpoint.filter(|_| proof.give(&webhooks.proven)) else {
        webhooks.refuse();
        return Err(Unproven);
    };
    let review = async {
        if !term.holds() {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let body = webhooks.bodies.read(request.into_body()).await.inspect_err(|status| {
            // A broken-off body is not refused: its caller has gone.
            if *status != StatusCode::BAD_REQUEST {
                webhooks.metrics.admission.refused();
            }
        })?;
        let reviewed = AssertUnwindSafe(handle(&body.bytes, endpoint, &webhooks.reviewer)).catch_unwind().await;
        let reviewed = reviewed.map_err(|_| {
            error!("a review panicked: the API server lets the write through");
            StatusCode::INTERNAL_SERVER_ERROR
        })?;
        if term.holds() { Ok(reviewed) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
    };
    let reviewed = timeout(REVIEW_TIME, review).await.unwrap_or(Err(StatusCode::SERVICE_UNAVAILABLE));
    let mut response = Response::new(Full::default());
    match reviewed {
        Ok(reviewed) => {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = Full::new(reviewed.into());
        }
        Err(status) => *response.status_mut() = status,
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
