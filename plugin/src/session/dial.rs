//! One connection to the server: a TCP stream or a port-forward, with TLS inside.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time};

use super::{
    closing,
    handshake::{self, Encrypted, Stream, shake_hands},
};
use crate::{
    address::Address,
    kubernetes::{PodPort, Server, request, service},
    time::describe_limit,
};

/// How long a kubelet may take to report why a stream broke.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Request(#[from] request::Error),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    #[error("failed to connect to {address}")]
    Connect { address: Address, source: io::Error },
    #[error("{peer} did not answer within {}", describe_limit(*limit))]
    TimedOut { peer: String, limit: Duration },
    #[error("{peer} did not answer within {}", describe_limit(*limit))]
    PodTimedOut { peer: String, limit: Duration },
    #[error("failed to reach the server in {peer}: {report}")]
    Pod { peer: String, report: String },
}

impl Error {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Request(error) => error.hint(),
            Self::Service(error) => error.hint(),
            Self::Handshake(error) => Some(error.hint()),
            Self::Connect { .. } | Self::TimedOut { .. } => {
                Some("check the address, and that the server listens there".to_owned())
            }
            Self::Pod { .. } | Self::PodTimedOut { .. } => {
                Some("read the pod's log: the server may be starting or failing".to_owned())
            }
        }
    }

    /// Whether another pod may work. A TLS error is the same for all pods.
    fn is_about_pod(&self) -> bool {
        matches!(self, Self::Request(_) | Self::PodTimedOut { .. } | Self::Pod { .. })
    }

    /// Whether newer credentials may help: a token, a client certificate, or a CA.
    pub(super) fn is_of_credentials(&self) -> bool {
        match self {
            Self::Request(error) | Self::Service(service::Error::Request(error)) => error.is_unauthorized(),
            Self::Handshake(error) => {
                matches!(error, handshake::Error::Alert { .. } | handshake::Error::UnknownCa { .. })
            }
            _ => false,
        }
    }

    /// Whether the server refused the connection and will refuse the next one too.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Handshake(handshake::Error::Alert { .. }))
    }
}

/// The way to the server.
#[derive(Clone)]
pub(super) enum Route {
    Address(Address),
    /// A port-forward to a pod behind the Service.
    Pods(Server),
}

/// An encrypted connection.
pub(super) type Connection = Encrypted<Box<dyn Stream>>;

/// Makes connections to the server.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) route: Route,
    pub(super) tls: Arc<ClientConfig>,
    /// The name that the server's certificate must have.
    pub(super) name: ServerName<'static>,
    /// The time limit of each step.
    pub(super) limit: Duration,
}

impl Dialer {
    /// Connects. It looks the pods up each time, so that the client can move on when its pod ends.
    pub(super) async fn dial(&self) -> Result<Connection, Error> {
        match &self.route {
            Route::Address(address) => self.dial_address(address).await,
            Route::Pods(server) => {
                let mut last = None;
                for pod in server.ready_pods(self.limit).await? {
                    match self.dial_pod(server, &pod).await {
                        Err(error) if error.is_about_pod() => last = Some(error),
                        done => return done,
                    }
                }
                // The list of ready pods is never empty, so there is an error.
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
        let mut forward = server.send(self.limit, action, server.pods().portforward(pod, &ports)).await?;
        let Some(stream) = forward.take_stream(*port) else {
            return Err(Error::Pod { peer, report: "the API server opened no stream".to_owned() });
        };
        let failure = forward.take_error(*port);
        closing::remember(forward);
        let Ok(encrypted) = time::timeout(self.limit, self.encrypt(Box::new(stream), &peer)).await else {
            return Err(self.pod_timed_out(peer));
        };
        match encrypted {
            Ok(connection) => Ok(connection),
            Err(error) => match failure {
                // A closed port looks like a broken handshake. The kubelet reports the real reason.
                Some(failure) => match time::timeout(REPORT_LIMIT, failure).await {
                    Ok(Some(report)) => Err(Error::Pod { peer, report: report.trim().to_owned() }),
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
