//! One connection to the server: a TCP stream or a port-forward, and TLS in it.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time};

use super::{
    api::{self, ask},
    handshake::{self, Encrypted, Stream, shake_hands},
    service::{self, PodPort, Server},
};
use crate::{config::Address, time::limit as words};

/// How long a kubelet may take to say why a stream broke.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    #[error("failed to connect to {address}")]
    Connect { address: Address, source: io::Error },
    #[error("{peer} did not answer within {}", words(*limit))]
    TimedOut { peer: String, limit: Duration },
    #[error("{peer} did not answer within {}", words(*limit))]
    PodTimedOut { peer: String, limit: Duration },
    #[error("failed to reach the server in {peer}: {said}")]
    Pod { peer: String, said: String },
}

impl Error {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Api(error) => error.hint(),
            Self::Service(error) => error.hint(),
            Self::Handshake(error) => Some(error.hint()),
            Self::Connect { .. } | Self::TimedOut { .. } => {
                Some("check the address, and that the server listens there".to_owned())
            }
            Self::Pod { .. } | Self::PodTimedOut { .. } => {
                Some("look into the pod's log: the server may be starting or in trouble".to_owned())
            }
        }
    }

    /// Whether another pod may do better: what TLS has to say is true of all.
    fn is_the_pods(&self) -> bool {
        matches!(self, Self::Api(_) | Self::PodTimedOut { .. } | Self::Pod { .. })
    }

    /// Whether the other side does not want the connection, and will not want the next one.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Handshake(handshake::Error::Alert { .. }))
    }
}

/// Where the server is.
#[derive(Clone)]
pub(super) enum Route {
    /// At an address.
    Address(Address),
    /// Behind a Service, through a port-forward.
    Pods(Server),
}

/// An encrypted connection.
pub(super) type Connection = Encrypted<Box<dyn Stream>>;

/// Makes connections to the server, one a call.
#[derive(Clone)]
pub(super) struct Dialer {
    /// Where to.
    pub(super) route: Route,
    /// What to show and to trust.
    pub(super) tls: Arc<ClientConfig>,
    /// What the server's certificate must be for.
    pub(super) name: ServerName<'static>,
    /// The time for each step.
    pub(super) limit: Duration,
}

impl Dialer {
    /// Connects; pods are looked up anew, so that a connection survives the pod that it was to.
    pub(super) async fn dial(&self) -> Result<Connection, Error> {
        match &self.route {
            Route::Address(address) => self.dial_address(address).await,
            Route::Pods(server) => {
                let mut last = None;
                for pod in server.ready().await? {
                    match self.dial_pod(server, &pod).await {
                        Err(error) if error.is_the_pods() => last = Some(error),
                        done => return done,
                    }
                }
                // Without a ready pod there was an error before.
                Err(last.unwrap_or_else(|| self.pod_timed_out(server.name.clone())))
            }
        }
    }

    async fn dial_address(&self, address: &Address) -> Result<Connection, Error> {
        let peer = address.to_string();
        let connect = TcpStream::connect((address.host.as_str(), address.port));
        let timed_out = |_| Error::TimedOut { peer: peer.clone(), limit: self.limit };
        let stream = time::timeout(self.limit, connect).await.map_err(timed_out)?;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|source| Error::Connect { address: address.clone(), source })?;
        Ok(time::timeout(self.limit, self.encrypt(Box::new(stream), &peer)).await.map_err(timed_out)??)
    }

    async fn dial_pod(&self, server: &Server, PodPort { pod, port }: &PodPort) -> Result<Connection, Error> {
        let peer = format!("pod {pod} of the namespace {}", server.namespace);
        let ports = [*port];
        let action = format!("forward a port of {peer}");
        let mut forward = ask(self.limit, action, server.pods().portforward(pod, &ports)).await?;
        let Some(stream) = forward.take_stream(*port) else {
            return Err(Error::Pod { peer, said: "the API server opened no stream".to_owned() });
        };
        let failure = forward.take_error(*port);
        let Ok(encrypted) = time::timeout(self.limit, self.encrypt(Box::new(stream), &peer)).await else {
            return Err(self.pod_timed_out(peer));
        };
        match encrypted {
            Ok(connection) => Ok(connection),
            Err(error) => match failure {
                // A port that nobody listens on looks like a broken handshake; the kubelet knows better.
                Some(failure) => match time::timeout(LAST_WORDS, failure).await {
                    Ok(Some(said)) => Err(Error::Pod { peer, said: said.trim().to_owned() }),
                    _ => Err(error.into()),
                },
                None => Err(error.into()),
            },
        }
    }

    async fn encrypt(&self, stream: Box<dyn Stream>, peer: &str) -> Result<Connection, handshake::Error> {
        shake_hands(self.tls.clone(), self.name.clone(), stream, peer).await
    }

    fn pod_timed_out(&self, peer: String) -> Error {
        Error::PodTimedOut { peer, limit: self.limit }
    }
}
