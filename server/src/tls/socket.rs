//! The socket of a connection, which bounds the bytes of its handshake.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most bytes of a ClientHello: ten times as many as usual ones have.
const MAX_HELLO: usize = 16 * 1024;

/// The most bytes that a peer may send before it is known, at any pace: TLS itself bounds one message by as much. A client
/// certificate that this server signs has at most 17 KiB.
const MAX_HANDSHAKE: usize = 64 * 1024;

/// The silence after which TCP probes whether the peer still exists.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A socket.
pub(crate) struct Socket {
    stream: TcpStream,
    /// The bytes that may still arrive. `None` once the peer is known.
    left: Option<usize>,
    /// Whether its ClientHello is still to come.
    is_silent: bool,
}

impl Socket {
    /// A socket of an unknown peer.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, left: Some(MAX_HELLO), is_silent: true }
    }

    /// Leaves room for the rest of the handshake, and prepares the socket for it.
    pub(super) fn hello_has_arrived(&mut self) -> io::Result<()> {
        self.left = self.left.map(|left| left + MAX_HANDSHAKE - MAX_HELLO);
        self.is_silent = false;
        self.stream.set_nodelay(true)?;
        SockRef::from(&self.stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))
    }

    /// Reads what has arrived from a peer that was silent so far. The runtime learns of it later, and until then the peer
    /// could lose its place.
    fn read_now(&self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.is_silent {
            return Poll::Pending;
        }
        match (&*SockRef::from(&self.stream)).read(buffer.initialize_unfilled()) {
            Ok(read) => {
                buffer.advance(read);
                Poll::Ready(Ok(()))
            }
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Ends the bound.
    pub(super) fn peer_is_known(&mut self) {
        self.left = None;
        self.is_silent = false;
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == Some(0) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the handshake has too many bytes")));
        }
        let before = buffer.filled().len();
        let read = match self.read_now(buffer) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => Pin::new(&mut self.stream).poll_read(cx, buffer),
        };
        let arrived = buffer.filled().len() - before;
        self.left = self.left.map(|left| left.saturating_sub(arrived));
        read
    }
}

impl AsyncWrite for Socket {
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn only_an_unknown_peer_is_bounded() {
        for (name, most) in [("silent", MAX_HELLO), ("unknown", MAX_HANDSHAKE), ("known", 2 * MAX_HANDSHAKE)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut socket = Socket::new(listener.accept().await.unwrap().0);
            match name {
                "unknown" => socket.hello_has_arrived().unwrap(),
                "known" => socket.peer_is_known(),
                _ => {}
            }
            let send = tokio::spawn(async move { peer.write_all(&[0; 2 * MAX_HANDSHAKE]).await });
            let (mut bytes, mut read) = (vec![0; 1024], 0);
            while read < 2 * MAX_HANDSHAKE
                && let Ok(more) = socket.read(&mut bytes).await
            {
                read += more;
            }
            assert!((most..most + bytes.len()).contains(&read), "{name}: {read}");
            send.abort();
        }
    }
}
