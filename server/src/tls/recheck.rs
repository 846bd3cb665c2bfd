//! Checks the certificates of open connections again when a reload changes which are accepted.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::StreamExt;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::WatchStream;

use super::{clients::ClientVerifier, files::ServerCertificate, socket::Socket};

/// The check of one connection's certificate.
pub(super) struct Recheck<S> {
    changes: WatchStream<Arc<ServerCertificate>>,
    is_accepted: fn(&S, &ClientVerifier) -> bool,
}

impl<S> Recheck<S> {
    pub(super) fn new(
        changes: watch::Receiver<Arc<ServerCertificate>>,
        is_accepted: fn(&S, &ClientVerifier) -> bool,
    ) -> Self {
        Self { changes: WatchStream::from_changes(changes), is_accepted }
    }

    /// Returns whether the certificate is no longer accepted. If nothing has changed, the task is woken when it does.
    pub(super) fn poll_refused(&mut self, stream: &S, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Some(current)) = self.changes.poll_next_unpin(cx) {
            if !(self.is_accepted)(stream, &current.clients) {
                return true;
            }
        }
        false
    }
}

/// Whether the certificate that a peer has shown is accepted now. TLS keeps it for as long as the connection lasts.
pub(super) fn accepts_peer(stream: &TlsStream<Socket>, clients: &ClientVerifier) -> bool {
    clients.accepts(stream.get_ref().1.peer_certificates().unwrap_or_default(), UnixTime::now())
}
