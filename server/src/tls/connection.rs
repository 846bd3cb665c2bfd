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
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{identity::Identity, recheck::Recheck, socket::Socket, unread::Unread};
use crate::runtime::limiter::Permit;

/// The age at which a connection takes no new calls. Its client connects again, possibly to another replica, and shows
/// a certificate that is still trusted.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// How long open calls may go on after [`MAX_AGE`].
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// The longest silence. A living peer answers the HTTP/2 ping that the server sends after 30 s of silence.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest time in which the peer takes no byte of what the server has to write. HTTP/2 may go on reading from such
/// a peer, so [`SILENCE`] does not find it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the server looks for answers that were not read.
const UNREAD_CHECK: Duration = Duration::from_secs(5);

/// The peer of a connection, as the calls on the connection see it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Who it is.
    pub(crate) identity: Arc<Identity>,
    /// The answers that it has not read.
    pub(crate) unread: Arc<Unread>,
}

/// A connection of a client with a verified certificate.
pub(crate) struct Connection<S = TlsStream<Socket>> {
    stream: S,
    peer: Peer,
    /// Fires at the end of the connection's life.
    end: Pin<Box<Sleep>>,
    /// Fires after too much silence.
    silence: Pin<Box<Sleep>>,
    recheck: Recheck<S>,
    /// Fires when a write has waited for too long. `None` while none waits.
    blocked: Option<Pin<Box<Sleep>>>,
    /// Fires when it is time to look for answers that were not read.
    unread_check: Pin<Box<Sleep>>,
    _permit: Permit,
}

impl<S> Connection<S> {
    /// A connection that lives for `life` at most.
    pub(super) fn new(stream: S, identity: Identity, life: Duration, recheck: Recheck<S>, permit: Permit) -> Self {
        let [end, silence, unread_check] = [life, SILENCE, UNREAD_CHECK].map(|time| Box::pin(sleep(time)));
        let peer = Peer { identity: Arc::new(identity), unread: Arc::default() };
        Self { stream, peer, end, silence, recheck, blocked: None, unread_check, _permit: permit }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let problem = if self.end.as_mut().poll(cx).is_ready() {
            "the connection has reached its age"
        } else if self.silence.as_mut().poll(cx).is_ready() {
            "the peer was silent"
        } else if self.recheck.poll_refused(&self.stream, cx) {
            "the client certificate is no longer accepted"
        } else if self.blocked.as_mut().is_some_and(|blocked| blocked.as_mut().poll(cx).is_ready()) {
            "the peer does not read"
        } else if self.is_unread(cx) {
            "the peer does not read an answer"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::TimedOut, problem))
    }

    /// Whether an answer has waited for its reader for too long.
    fn is_unread(&mut self, cx: &mut Context<'_>) -> bool {
        while self.unread_check.as_mut().poll(cx).is_ready() {
            if self.peer.unread.is_too_old() {
                return true;
            }
            self.unread_check.as_mut().reset(Instant::now() + UNREAD_CHECK);
        }
        false
    }

    /// Records whether the peer takes what is written.
    fn record_write<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
        } else if self.blocked.is_none() {
            let mut blocked = Box::pin(sleep(WRITE_TIMEOUT));
            // Only a timer that was polled wakes the task.
            let _ = blocked.as_mut().poll(cx);
            self.blocked = Some(blocked);
        }
        written
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
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
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.record_write(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let written = Pin::new(&mut self.stream).poll_flush(cx);
        self.record_write(cx, written)
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.record_write(cx, written)
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
            unread,
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
    async fn a_peer_that_talks_and_does_not_read_is_given_up() {
        let (peer, stream) = duplex(64);
        let (mut unread, mut talk) = tokio::io::split(peer);
        let (stream, begun) = (connection(stream), Instant::now());
        let (mut reader, mut writer) = tokio::io::split(stream);
        let talking = tokio::spawn(async move {
            while talk.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let read = async { while reader.read_u8().await.is_ok() {} };
        let write = async {
            writer.write_all(&[0; 64]).await.unwrap();
            sleep(Duration::from_secs(100)).await;
            let blocked = tokio::time::timeout(WRITE_TIMEOUT / 2, writer.write_all(b"x")).await;
            blocked.expect_err("there is room");
            unread.read_exact(&mut [0; 32]).await.unwrap();
            writer.write_all(&[0; 32]).await.unwrap();
            writer.write_all(b"x").await.unwrap_err()
        };
        // In one task, as HTTP/2 reads and writes.
        let ((), error) = tokio::join!(read, write);
        let end = (Duration::from_secs(100) + WRITE_TIMEOUT / 2 + WRITE_TIMEOUT).as_secs();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, end));
        talking.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_an_answer_that_is_not_read() {
        let (mut peer, stream) = duplex(64);
        let (mut stream, begun) = (connection(stream), Instant::now());
        let unread = stream.peer.unread.clone();
        let read = async {
            drop(unread.begin());
            let _unread = unread.begin();
            loop {
                peer.write_all(b"x").await.unwrap();
                if let Err(error) = stream.read_u8().await {
                    return error;
                }
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        };
        let (error, end) = (read.await, (unread::TIMEOUT + UNREAD_CHECK).as_secs());
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((unread::TIMEOUT.as_secs()..=end).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
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
