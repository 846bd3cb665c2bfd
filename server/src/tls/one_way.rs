//! TLS without certificates of clients. The webhooks use it, because an API server shows none unless somebody configures
//! it, which managed clusters do not allow. So do the metrics, which Prometheus asks for with a token.

use std::{io, net::SocketAddr, sync::Arc};

use futures::Stream;
use tokio::net::TcpListener;
use tokio_rustls::{StartHandshake, server::TlsStream};

use super::{
    accept::{Handshake, TLS_BUFFER, accept_all},
    credentials::Credentials,
    limits::Bounds,
    socket::Socket,
};
use crate::telemetry::Metrics;

/// A connection whose peer has shown no certificate.
pub(crate) struct OneWayConnection {
    /// Its bytes.
    pub(crate) stream: TlsStream<Socket>,
    /// Its peer.
    pub(crate) peer: SocketAddr,
}

/// Accepts connections until the stream is dropped, within these bounds at most.
pub(crate) fn one_way(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    bounds: Bounds,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<OneWayConnection>> {
    accept_all(listener, OneWay { credentials }, bounds.within_files(), metrics)
}

/// Handshakes that ask for no certificate.
#[derive(Clone)]
struct OneWay {
    credentials: Arc<Credentials>,
}

impl Handshake for OneWay {
    type Connection = OneWayConnection;

    async fn complete(&self, handshake: StartHandshake<Socket>, peer: SocketAddr) -> io::Result<OneWayConnection> {
        let mut stream = handshake.into_stream(self.credentials.one_way()).await?;
        let (socket, session) = stream.get_mut();
        socket.peer_is_known();
        session.set_buffer_limit(Some(TLS_BUFFER));
        Ok(OneWayConnection { stream, peer })
    }
}
