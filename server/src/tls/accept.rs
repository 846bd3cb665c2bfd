//! The accept loop: handshakes run side by side, bounded in number and time.

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

use super::{Connection, Credentials, Identity, MAX_AGE, connection::GRACE, expiry, limits::Limits};
use crate::{runtime::limiter::Limiter, telemetry::Metrics};

/// How long a handshake may take: clients far away need a few round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handshake is left alone however many others there are: whoever means it is done by then, even if this
/// machine is busy. Meanwhile, new connections wait in the operating system's queue.
const HANDSHAKE_CHANCE: Duration = Duration::from_millis(250);

/// How long to wait after the operating system has refused a connection, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When a silent peer is asked whether it is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Accepts connections until the stream is dropped.
pub fn incoming(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(64);
    let limits = Limits::of_process();
    let quota = Limiter::new(limits.connections, limits.each, metrics.open_connections.clone());
    let accept = Accept { listener, sender, handshaker: Handshaker { credentials, quota, metrics } };
    tokio::spawn(accept.run(limits));
    ReceiverStream::new(receiver)
}

struct Accept {
    listener: TcpListener,
    sender: mpsc::Sender<io::Result<Connection>>,
    handshaker: Handshaker,
}

/// What a handshake needs.
#[derive(Clone)]
struct Handshaker {
    credentials: Arc<Credentials>,
    quota: Arc<Limiter>,
    metrics: Arc<Metrics>,
}

impl Accept {
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
                            match handshaker.shake(socket).await {
                                // The receiver is gone only once the server has stopped.
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
    /// When each began, the oldest first, some of them done.
    order: VecDeque<(Instant, AbortHandle)>,
}

impl Handshakes {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.order.push_back((Instant::now(), self.tasks.spawn(task)));
    }

    /// When there is room for another: now, or once the oldest has had its chance.
    fn room_at(&mut self, most: usize) -> Instant {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() < most {
            return Instant::now();
        }
        self.order.retain(|(_, handshake)| !handshake.is_finished());
        self.order.front().map_or_else(Instant::now, |(begun, _)| *begun + HANDSHAKE_CHANCE)
    }

    /// Ends the oldest if there are too many, and says whether: a flood of those who do not mean it must not keep others
    /// out.
    fn make_room(&mut self, most: usize) -> bool {
        while self.order.front().is_some_and(|(_, handshake)| handshake.is_finished()) {
            self.order.pop_front();
        }
        self.tasks.len() >= most && self.order.pop_front().inspect(|(_, handshake)| handshake.abort()).is_some()
    }
}

impl Handshaker {
    async fn shake(&self, socket: TcpStream) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
        let acceptor = TlsAcceptor::from(self.credentials.current());
        let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await??;
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(b"h2") {
            return Err(invalid("the client does not offer HTTP/2"));
        }
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.ok_or_else(|| invalid("no client certificate"))?;
        let identity = Identity::of(leaf).ok_or_else(|| invalid("no readable client certificate"))?;
        let life = life(leaf, Timestamp::now());
        let share = self.quota.take(&identity.user).map_err(|exhausted| {
            self.metrics.connections_refused.inc();
            io::Error::new(io::ErrorKind::QuotaExceeded, format!("{:?}: {exhausted}", identity.user))
        })?;
        Ok(Connection::new(stream, identity, life, share))
    }
}

/// How long a connection may live: no longer than the certificate by which it was let in.
fn life(leaf: &CertificateDer<'_>, now: Timestamp) -> Duration {
    let left = u64::try_from(expiry(leaf).saturating_sub(now.as_second())).unwrap_or(0);
    Duration::from_secs(left).min(MAX_AGE + GRACE)
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
