//! The accept loop: connections are accepted as fast as they come, and handshakes run concurrently, bounded in number and
//! time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_rustls::StartHandshake;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

use super::{
    connection::{Connection, GRACE, MAX_AGE},
    credentials::Credentials,
    files::expiry,
    handshakes::Handshakes,
    hellos::{Failed, Hello, Hellos},
    limits::{Bounds, Limits},
    recheck::{Recheck, accepts_peer},
    socket::Socket,
};
use crate::{
    runtime::{limiter::Limiter, listen::accept},
    telemetry::Metrics,
};

/// The most connections that are accepted before they are read.
const MAX_BATCH: usize = 32;

/// The pause after the operating system refuses to accept a connection, usually because it has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The most bytes that TLS holds of each direction while the peer does not read: a record.
pub(super) const TLS_BUFFER: usize = 16 * 1024;

/// The longest time from a connection of a client to the end of its handshake: a distant client needs a few round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections with mutual TLS until the stream is dropped.
pub(crate) fn incoming(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<Connection>> {
    let limits = Limits::of_process();
    let connections = Limiter::new(limits.connections, limits.connections_per_user, metrics.open_connections.clone());
    let rest = Mutual { credentials, connections, metrics: metrics.clone() };
    accept_all(listener, rest, limits.before_handshake(HANDSHAKE_TIMEOUT), metrics)
}

/// The part of a handshake that comes after the ClientHello.
pub(super) trait Handshake: Clone + Send + Sync + 'static {
    /// An established connection.
    type Connection: Send + 'static;

    /// Completes a handshake.
    fn complete(
        &self,
        handshake: StartHandshake<Socket>,
        peer: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// Accepts connections until the stream is dropped.
pub(super) fn accept_all<H: Handshake>(
    listener: TcpListener,
    rest: H,
    bounds: Bounds,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<H::Connection>> {
    let (sender, receiver) = mpsc::channel(64);
    let accept = AcceptLoop { listener, handshaker: Handshaker { sender, rest, metrics } };
    tokio::spawn(accept.run(bounds));
    ReceiverStream::new(receiver)
}

struct AcceptLoop<H: Handshake> {
    listener: TcpListener,
    handshaker: Handshaker<H>,
}

/// Makes the handshakes.
struct Handshaker<H: Handshake> {
    sender: mpsc::Sender<io::Result<H::Connection>>,
    rest: H,
    metrics: Arc<Metrics>,
}

/// A derived one would ask for connections that can be cloned.
impl<H: Handshake> Clone for Handshaker<H> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), rest: self.rest.clone(), metrics: self.metrics.clone() }
    }
}

impl<H: Handshake> AcceptLoop<H> {
    async fn run(self, bounds: Bounds) {
        let mut hellos = Hellos::new(bounds.hellos, bounds.timeout);
        let mut handshakes = Handshakes::new(bounds.handshakes);
        // Fewer than there is room for, so that each is read once.
        let batch = (bounds.hellos / 2).clamp(1, MAX_BATCH);
        let (handshaker, mut accept_at) = (&self.handshaker, Instant::now());
        loop {
            while handshakes.has_room()
                && let Some(hello) = hellos.take_waiting()
            {
                handshakes.start(hello.peer.ip(), handshaker.clone().run(hello));
            }
            let room_at = handshakes.room_at();
            tokio::select! {
                // What is here comes before what is new: each connection is read before another may take its place.
                biased;
                () = handshaker.sender.closed() => break,
                Some(()) = handshakes.ended() => {}
                Some(read) = hellos.read() => if let Err(failed) = read {
                    handshaker.record_failure(&failed);
                },
                () = sleep_until(room_at), if hellos.has_waiting() => {
                    handshaker.metrics.handshake_failures.inc_by(handshakes.make_room().into());
                }
                accepted = self.accept_at(accept_at, batch) => match accepted {
                    Ok(accepted) => {
                        let ended = hellos.make_room(accepted.len());
                        handshaker.metrics.handshake_failures.inc_by(u64::try_from(ended).unwrap_or(u64::MAX));
                        accepted.into_iter().for_each(|(socket, peer)| hellos.add(socket, peer));
                    }
                    Err(error) => {
                        warn!(%error, "connection not accepted");
                        accept_at = Instant::now() + ACCEPT_PAUSE;
                    }
                },
            }
        }
    }

    async fn accept_at(&self, time: Instant, most: usize) -> io::Result<Vec<(TcpStream, SocketAddr)>> {
        sleep_until(time).await;
        accept(&self.listener, most).await
    }
}

impl<H: Handshake> Handshaker<H> {
    /// Completes a handshake.
    async fn run(self, hello: Hello) {
        let Hello { handshake, peer, deadline } = hello;
        match timeout_at(deadline, self.rest.complete(handshake, peer)).await {
            // Fails only after the server has stopped.
            Ok(Ok(connection)) => drop(self.sender.send(Ok(connection)).await),
            Ok(Err(error)) => self.record_failure(&Failed { peer, error }),
            Err(elapsed) => self.record_failure(&Failed { peer, error: elapsed.into() }),
        }
    }

    fn record_failure(&self, Failed { peer, error }: &Failed) {
        self.metrics.handshake_failures.inc();
        debug!(%peer, %error, "handshake failed");
    }
}

/// Handshakes with clients, which show a certificate.
#[derive(Clone)]
struct Mutual {
    credentials: Arc<Credentials>,
    connections: Arc<Limiter>,
    metrics: Arc<Metrics>,
}

impl Handshake for Mutual {
    type Connection = Connection;

    async fn complete(&self, handshake: StartHandshake<Socket>, _: SocketAddr) -> io::Result<Connection> {
        // Subscribed before the handshake, so that no change between the two is missed.
        let mut changes = self.credentials.subscribe();
        let current = changes.borrow_and_update().clone();
        let mut stream = handshake.into_stream(current.config.clone()).await?;
        let (socket, session) = stream.get_mut();
        socket.peer_is_known();
        session.set_buffer_limit(Some(TLS_BUFFER));
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(b"h2") {
            return Err(invalid("the client does not offer HTTP/2"));
        }
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.ok_or_else(|| invalid("no client certificate"))?;
        let identity = current.clients.identity(leaf).ok_or_else(|| invalid("no readable client certificate"))?;
        let life = life(leaf, Timestamp::now());
        let permit = self.connections.acquire(&identity.user).map_err(|exhausted| {
            self.metrics.connections_refused.inc();
            io::Error::new(io::ErrorKind::QuotaExceeded, format!("{:?}: {exhausted}", identity.user))
        })?;
        Ok(Connection::new(stream, identity, life, Recheck::new(changes, accepts_peer), permit))
    }
}

/// How long a connection may live: no longer than its client's certificate.
fn life(leaf: &CertificateDer<'_>, now: Timestamp) -> Duration {
    let left = u64::try_from(expiry(leaf).saturating_sub(now.as_second())).unwrap_or(0);
    Duration::from_secs(left).min(MAX_AGE + GRACE)
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
