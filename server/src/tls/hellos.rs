//! Connections before their handshake: they send a ClientHello, and then wait for a place among the handshakes.
//!
//! An honest ClientHello comes with its connection. A connection that sends none costs no cryptography, and makes room
//! for later ones at once. So connections are accepted without a pause, at any pace that they come.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rustls::server::Acceptor;
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::socket::Socket;
use crate::runtime::by_address::{ByAddress, Entry};

/// A connection whose ClientHello has arrived.
pub(super) struct Hello {
    /// Its handshake.
    pub(super) handshake: StartHandshake<Socket>,
    /// Its peer.
    pub(super) peer: SocketAddr,
    /// When its handshake is given up.
    pub(super) deadline: Instant,
}

/// A connection that has ended before its ClientHello has arrived.
#[derive(Debug)]
pub(super) struct Failed {
    /// Its peer.
    pub(super) peer: SocketAddr,
    /// Why it has ended.
    pub(super) error: io::Error,
}

/// The end of reading a ClientHello. `None` if it made room for others.
type Read = (Entry, Option<Result<Hello, Failed>>);

/// Connections before their handshake.
pub(super) struct Hellos {
    limit: usize,
    /// The longest time from a connection to the end of its handshake.
    timeout: Duration,
    /// They are no tasks of their own: a task may wait for its turn while others take its place.
    reading: FuturesUnordered<BoxFuture<'static, Read>>,
    /// Ends each that is read when it is dropped.
    silent: ByAddress<oneshot::Sender<Infallible>>,
    /// Those that wait for a place.
    waiting: ByAddress<Hello>,
}

impl Hellos {
    /// Room for `limit` connections, each of which has `timeout` until its handshake ends.
    pub(super) fn new(limit: usize, timeout: Duration) -> Self {
        let (silent, waiting) = (ByAddress::default(), ByAddress::default());
        Self { limit, timeout, reading: FuturesUnordered::new(), silent, waiting }
    }

    /// Adds a connection.
    pub(super) fn add(&mut self, socket: TcpStream, peer: SocketAddr) {
        let (end, ended) = oneshot::channel();
        let entry = self.silent.add(peer.ip(), end);
        let deadline = Instant::now() + self.timeout;
        self.reading.push(read(socket, peer, deadline, ended).map(move |read| (entry, read)).boxed());
    }

    /// Ends connections, so that there is room for more, and returns how many: of the silent or of the waiting ones,
    /// whichever are more, the oldest of the address that has the most.
    pub(super) fn make_room(&mut self, more: usize) -> usize {
        let excess = (self.silent.len() + self.waiting.len() + more).saturating_sub(self.limit);
        for _ in 0..excess {
            if self.silent.len() < self.waiting.len() {
                drop(self.waiting.take_of_most());
            } else {
                drop(self.silent.take_of_most());
            }
        }
        excess
    }

    /// Reads until a ClientHello has arrived, a connection has failed, or one has made room. `None` if there is none to
    /// read.
    pub(super) async fn read(&mut self) -> Option<Result<(), Failed>> {
        let (entry, read) = self.reading.next().await?;
        self.silent.take(entry);
        match read {
            Some(Ok(hello)) => drop(self.waiting.add(hello.peer.ip(), hello)),
            Some(Err(failed)) => return Some(Err(failed)),
            None => {}
        }
        Some(Ok(()))
    }

    /// Whether one waits for a place.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.len() > 0
    }

    /// Takes the one whose turn it is: of the address with the fewest, so that a flood waits for the others.
    pub(super) fn take_waiting(&mut self) -> Option<Hello> {
        self.waiting.take_of_fewest()
    }
}

/// Reads a ClientHello. `None` if the end came before it.
async fn read(
    socket: TcpStream,
    peer: SocketAddr,
    deadline: Instant,
    end: oneshot::Receiver<Infallible>,
) -> Option<Result<Hello, Failed>> {
    let read = async {
        let mut handshake = LazyConfigAcceptor::new(Acceptor::default(), Socket::new(socket)).await?;
        handshake.io.hello_has_arrived()?;
        Ok(Hello { handshake, peer, deadline })
    };
    let read = tokio::select! {
        // What has arrived before the end counts.
        biased;
        read = read => read,
        _ = end => return None,
        () = sleep_until(deadline) => Err(io::ErrorKind::TimedOut.into()),
    };
    Some(read.map_err(|error| Failed { peer, error }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, version::TLS13};
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn client_hello() -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13]).unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    /// A connection of a client that sends these bytes.
    async fn connect(hellos: &mut Hellos, listener: &TcpListener, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let (socket, peer) = listener.accept().await.unwrap();
        hellos.make_room(1);
        hellos.add(socket, peer);
        client
    }

    #[tokio::test]
    async fn a_client_hello_that_has_arrived_is_read_whatever_comes_after_it() {
        let (mut hellos, listener) = (Hellos::new(8, TIMEOUT), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut clients = vec![connect(&mut hellos, &listener, &client_hello()).await];
        // Meanwhile nothing is read, as when many connections come at once.
        for number in 0..50 {
            let half: &[u8] = if number % 2 == 0 { &[] } else { &[0x16, 3, 1, 2, 0, 1] };
            clients.push(connect(&mut hellos, &listener, half).await);
        }
        assert_eq!((hellos.silent.len(), hellos.has_waiting()), (8, false));
        while !hellos.has_waiting() {
            hellos.read().await.unwrap().unwrap();
        }
        assert_eq!(hellos.take_waiting().unwrap().peer, clients[0].local_addr().unwrap());
        assert!(!hellos.has_waiting());
        clients.push(connect(&mut hellos, &listener, &client_hello()).await);
        while !hellos.has_waiting() {
            hellos.read().await.unwrap().unwrap();
        }
        assert_eq!(hellos.take_waiting().unwrap().peer, clients[51].local_addr().unwrap(), "and a later one");
    }

    #[tokio::test]
    async fn what_is_no_client_hello_fails() {
        let (mut hellos, listener) = (Hellos::new(8, TIMEOUT), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let client = connect(&mut hellos, &listener, b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(hellos.read().await.unwrap().unwrap_err().peer, client.local_addr().unwrap());
        assert_eq!(hellos.silent.len(), 0);
        assert!(hellos.read().await.is_none(), "none is left");
    }
}
