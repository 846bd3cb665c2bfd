//! TLS without certificates of clients, for the webhooks: an API server shows none unless somebody configures it, which
//! managed clusters do not allow.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use tokio::net::TcpListener;
use tokio_rustls::{StartHandshake, server::TlsStream};

use super::{
    accept::{Handshake, TLS_BUFFER, accept_all},
    credentials::Credentials,
    limits::Limits,
    socket::Socket,
};
use crate::telemetry::Metrics;

/// The longest time from a connection to the end of its handshake: the time that an API server waits for a webhook.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection whose peer has shown no certificate.
pub(crate) struct OneWayConnection {
    /// Its bytes.
    pub(crate) stream: TlsStream<Socket>,
    /// Its peer.
    pub(crate) peer: SocketAddr,
}

/// Accepts connections for webhooks until the stream is dropped.
pub(crate) fn one_way(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = io::Result<OneWayConnection>> {
    accept_all(listener, OneWay { credentials }, Limits::of_webhooks(HANDSHAKE_TIMEOUT), metrics)
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
