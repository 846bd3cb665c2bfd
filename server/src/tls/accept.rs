//! The accept loop: handshakes run concurrently, bounded in number and time.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

use super::{
    connection::{Connection, GRACE, MAX_AGE},
    credentials::Credentials,
    files::expiry,
    limits::Limits,
    recheck::{Recheck, accepts_peer},
    socket::Socket,
};
use crate::{runtime::limiter::Limiter, telemetry::Metrics};

/// The connections that wait to be accepted. During a flood of half-open handshakes, 2,000 are accepted each second, so a
/// client waits for half a second.
pub(crate) const BACKLOG: u32 = 1024;

/// The longest time of a handshake: a distant client needs a few round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handshake is safe from being ended to make room for another. An honest client is done by then, also on a
/// busy machine. Meanwhile, new connections wait in the operating system's queue.
const PROTECTED_TIME: Duration = Duration::from_millis(250);

/// The pause after the operating system refuses to accept a connection, usually because it has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The silence after which TCP probes whether the peer still exists.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// The most bytes that TLS holds of each direction while the peer does not read: a record.
const TLS_BUFFER: usize = 16 * 1024;

/// Accepts connections until the stream is dropped.
pub(crate) fn incoming(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(64);
    let limits = Limits::of_process();
    let connections = Limiter::new(limits.connections, limits.connections_per_user, metrics.open_connections.clone());
    let accept = AcceptLoop { listener, sender, handshaker: Handshaker { credentials, connections, metrics } };
    tokio::spawn(accept.run(limits));
    ReceiverStream::new(receiver)
}

struct AcceptLoop {
    listener: TcpListener,
    sender: mpsc::Sender<io::Result<Connection>>,
    handshaker: Handshaker,
}

/// Makes the handshakes.
#[derive(Clone)]
struct Handshaker {
    credentials: Arc<Credentials>,
    connections: Arc<Limiter>,
    metrics: Arc<Metrics>,
}

impl AcceptLoop {
    async fn run(self, limits: Limits) {
        let mut handshakes = Handshakes::default();
        loop {
            let room_at = handshakes.room_at(limits.handshakes);
            tokio::select! {
                () = self.sender.closed() => break,
                Some(_) = handshakes.tasks.join_next() => {}
                accepted = self.accept_at(room_at) => match accepted {
                    Ok((socket, peer)) => {
                        let (sender, handshaker) = (self.sender.clone(), self.handshaker.clone());
                        if handshakes.make_room(limits.handshakes) {
                            handshaker.metrics.handshake_failures.inc();
                        }
                        handshakes.spawn(async move {
                            match handshaker.handshake(socket).await {
                                // Fails only after the server has stopped.
                                Ok(connection) => drop(sender.send(Ok(connection)).await),
                                Err(error) => {
                                    handshaker.metrics.handshake_failures.inc();
                                    debug!(%peer, %error, "handshake failed");
                                }
                            }
                        });
                    }
                    Err(error) => {
                        warn!(%error, "connection not accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn accept_at(&self, time: Instant) -> io::Result<(TcpStream, SocketAddr)> {
        sleep_until(time).await;
        self.listener.accept().await
    }
}

/// The handshakes under way.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<()>,
    /// When each began, the oldest first. It may hold finished ones.
    order: VecDeque<(Instant, AbortHandle)>,
}

impl Handshakes {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.order.push_back((Instant::now(), self.tasks.spawn(task)));
    }

    /// When there is room for another: now, or once the protected time of the oldest is over.
    fn room_at(&mut self, limit: usize) -> Instant {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() < limit {
            return Instant::now();
        }
        self.order.retain(|(_, handshake)| !handshake.is_finished());
        self.order.front().map_or_else(Instant::now, |(begun, _)| *begun + PROTECTED_TIME)
    }

    /// Ends the oldest if there are too many, and returns whether it did: a flood of handshakes that never finish must
    /// not keep others out.
    fn make_room(&mut self, limit: usize) -> bool {
        while self.order.front().is_some_and(|(_, handshake)| handshake.is_finished()) {
            self.order.pop_front();
        }
        self.tasks.len() >= limit && self.order.pop_front().inspect(|(_, handshake)| handshake.abort()).is_some()
    }
}

impl Handshaker {
    async fn handshake(&self, socket: TcpStream) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
        // Subscribed before the handshake, so that no change between the two is missed.
        let mut changes = self.credentials.subscribe();
        let current = changes.borrow_and_update().clone();
        let acceptor = TlsAcceptor::from(current.config.clone());
        let mut stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(Socket::new(socket))).await??;
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
