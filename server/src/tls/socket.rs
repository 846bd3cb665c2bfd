//! The socket of a connection, which bounds the bytes of its handshake.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most bytes that a peer may send before it is known, at any pace: TLS itself bounds one message by as much. A client
/// certificate that this server signs has at most 17 KiB.
const MAX_HANDSHAKE: usize = 64 * 1024;

/// A socket.
pub(crate) struct Socket {
    stream: TcpStream,
    /// The bytes that may still arrive. `None` once the peer is known.
    left: Option<usize>,
}

impl Socket {
    /// A socket of an unknown peer.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, left: Some(MAX_HANDSHAKE) }
    }

    /// Ends the bound.
    pub(super) fn peer_is_known(&mut self) {
        self.left = None;
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == Some(0) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the handshake has too many bytes")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
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
        for (name, is_known) in [("unknown", false), ("known", true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut socket = Socket::new(listener.accept().await.unwrap().0);
            if is_known {
                socket.peer_is_known();
            }
            let send = tokio::spawn(async move { peer.write_all(&[0; 2 * MAX_HANDSHAKE]).await });
            let mut bytes = vec![0; 2 * MAX_HANDSHAKE];
            let read = socket.read_exact(&mut bytes).await;
            assert_eq!(read.is_ok(), is_known, "{name}: {read:?}");
            send.abort();
        }
    }
}
