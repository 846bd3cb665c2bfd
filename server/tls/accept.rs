//! The accept loop: handshakes run side by side, bounded in number and time.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::{Credentials, Identity};
use crate::telemetry::Metrics;

/// How many handshakes may be under way; each holds a socket and about 40 KiB.
const MAX_HANDSHAKES: usize = 1024;

/// How long a handshake may take: clients far away need a few round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

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
    tokio::spawn(accept(listener, credentials, metrics, sender));
    ReceiverStream::new(receiver)
}

async fn accept(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    metrics: Arc<Metrics>,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            () = sender.closed() => break,
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept(), if handshakes.len() < MAX_HANDSHAKES => match accepted {
                Ok((socket, peer)) => {
                    let acceptor = TlsAcceptor::from(credentials.current());
                    let (sender, metrics) = (sender.clone(), metrics.clone());
                    handshakes.spawn(async move {
                        match handshake(socket, &acceptor).await {
                            // The receiver is gone only once the server has stopped.
                            Ok(connection) => drop(sender.send(Ok(connection)).await),
                            Err(error) => {
                                metrics.handshake_failures.inc();
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

async fn handshake(socket: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Connection> {
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
    let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await??;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not offer HTTP/2"));
    }
    let identity = session.peer_certificates().and_then(|chain| Identity::of(chain.first()?));
    let identity = identity.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no client certificate"))?;
    Ok(Connection { identity: Arc::new(identity), stream })
}

/// A connection of a client with a verified certificate.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    identity: Arc<Identity>,
}

impl Connected for Connection {
    type ConnectInfo = Arc<Identity>;

    fn connect_info(&self) -> Arc<Identity> {
        self.identity.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
