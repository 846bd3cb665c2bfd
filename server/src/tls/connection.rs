//! A connection after its handshake. It ends at an age, and when its peer has been silent for long.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{identity::Identity, recheck::Recheck};
use crate::runtime::limiter::Permit;

/// The age at which a connection takes no new calls. Its client connects again, possibly to another replica, and shows
/// a certificate that is still trusted.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// How long open calls may go on after [`MAX_AGE`].
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// The longest silence. A living peer answers the HTTP/2 ping that the server sends after 30 s of silence.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection of a client with a verified certificate.
pub(crate) struct Connection<S = TlsStream<TcpStream>> {
    stream: S,
    identity: Arc<Identity>,
    /// Fires at the end of the connection's life.
    end: Pin<Box<Sleep>>,
    /// Fires after too much silence.
    silence: Pin<Box<Sleep>>,
    recheck: Recheck<S>,
    _permit: Permit,
}

impl<S> Connection<S> {
    /// A connection that lives for `life` at most.
    pub(super) fn new(stream: S, identity: Identity, life: Duration, recheck: Recheck<S>, permit: Permit) -> Self {
        let (end, silence) = (Box::pin(sleep(life)), Box::pin(sleep(SILENCE)));
        Self { stream, identity: Arc::new(identity), end, silence, recheck, _permit: permit }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let problem = if self.end.as_mut().poll(cx).is_ready() {
            "the connection has reached its age"
        } else if self.silence.as_mut().poll(cx).is_ready() {
            "the peer was silent"
        } else if self.recheck.poll_refused(&self.stream, cx) {
            "the client certificate is no longer accepted"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::TimedOut, problem))
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Identity>;

    fn connect_info(&self) -> Arc<Identity> {
        self.identity.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    // While a peer does not read, the HTTP/2 layer cannot write, and does not read either. So writes check the
    // deadlines too.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::{
        runtime::limiter::Limiter,
        tls::{
            clients::ClientCa,
            files::{Files, PemBundle},
        },
    };

    const LIFE: Duration = Duration::from_secs(1000);

    /// A certificate that never changes.
    fn certificate() -> Arc<crate::tls::files::ServerCertificate> {
        let fixtures = fuzz::x509::fixtures().unwrap();
        let [certificate, key, authorities] =
            [&fixtures.client.certificate, &fixtures.client.key, &fixtures.ca.certificate]
                .map(|pem| pem.clone().into());
        let files = Files { certificate: "tls.crt".into(), key: "tls.key".into(), ca: "ca.crt".into() };
        Arc::new(files.check(&PemBundle { certificate, key, authorities }, ClientCa::Managed, None).unwrap())
    }

    fn connection(stream: DuplexStream) -> Connection<DuplexStream> {
        let identity = Identity { user: "alice".to_owned(), groups: Vec::new() };
        let recheck = Recheck::new(tokio::sync::watch::channel(certificate()).1, |_, _| true);
        Connection::new(
            stream,
            identity,
            LIFE,
            recheck,
            Limiter::new(1, 1, Default::default()).acquire("alice").unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_and_one_that_talks_is_not() {
        let (mut peer, stream) = duplex(64);
        let (mut stream, begun) = (connection(stream), Instant::now());
        for _ in 0..5 {
            tokio::time::advance(SILENCE - Duration::from_secs(1)).await;
            peer.write_all(b"x").await.unwrap();
            stream.read_u8().await.unwrap();
        }
        let talked = begun.elapsed();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, (talked + SILENCE).as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (_peer, stream) = duplex(64);
        let (mut stream, begun) = (connection(stream), Instant::now());
        let error = stream.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, SILENCE.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_talks_for_ever_is_cut_off_at_the_age() {
        let (mut peer, stream) = duplex(64);
        let (mut stream, begun) = (connection(stream), Instant::now());
        let error = loop {
            tokio::time::advance(Duration::from_secs(1)).await;
            peer.write_all(b"x").await.unwrap();
            if let Err(error) = stream.read_u8().await {
                break error;
            }
        };
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, LIFE.as_secs()));
    }
}
