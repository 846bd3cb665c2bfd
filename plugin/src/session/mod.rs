//! The connection to the server: a pod's forwarded port or an address, TLS, and gRPC.
//!
//! [`dial`] opens a stream, [`handshake`] runs TLS in it with what [`tls`] has checked, [`certificate_problem`] says
//! why a certificate is refused, [`connections`] keeps those that several contexts share, [`call`] makes one gRPC call,
//! [`checked`] keeps tonic from panicking at a malformed answer, and [`closing`] ends the port-forwards.

mod call;
mod certificate_problem;
mod checked;
mod closing;
mod connections;
mod dial;
mod error_chain;
mod handshake;
pub(crate) mod tls;

use std::{sync::Arc, time::Duration};

use contract::replicas::v1::{Target, replicas_service_client::ReplicasServiceClient};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tonic::{Response, Status, codec::CompressionEncoding, transport::Endpoint};
use tower::service_fn;

#[cfg(test)]
pub(crate) use self::call::Refusal;
pub(crate) use self::{
    call::{Error as CallError, explain, is_temporary},
    closing::close,
    connections::Connections,
};
use self::{
    checked::Checked,
    dial::{Dialer, Route},
    error_chain::find_cause,
};
use crate::{
    args::ConnectionArgs,
    config::Settings,
    kubernetes::{self, ApiUser, Cluster, TargetEvent},
    target::TargetRef,
};

/// Long watches notice a vanished server by these pings.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The largest answer. A page of 500 entries, each with ten changes and two conditions, takes up to about 40 MiB if
/// their reasons and messages have the greatest length. gRPC's default of 4 MiB is too small for that.
const MAX_MESSAGE: usize = 64 << 20;

/// The client of the server's API.
pub(crate) type Client = ReplicasServiceClient<Checked>;

/// Why there is no connection to the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Dial(#[from] Arc<dial::Error>),
    #[error("{name:?} is not a name that a certificate can be for")]
    ServerName { name: String },
    #[error("failed to open the connection")]
    Transport(#[source] tonic::transport::Error),
    /// Several contexts of a command may have the same failure.
    #[error(transparent)]
    Shared(Arc<Self>),
}

impl Error {
    /// Whether another try may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Kubernetes(error) => error.is_temporary(),
            Self::Dial(error) => !error.is_refusal(),
            Self::Transport(_) => true,
            Self::Tls(_) | Self::ServerName { .. } => false,
            Self::Shared(error) => error.is_temporary(),
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Kubernetes(error) => error.hint(),
            Self::Tls(error) => error.hint(),
            Self::Dial(error) => error.hint(),
            Self::ServerName { .. } => Some("give the name in the server's certificate with --server-name".to_owned()),
            Self::Transport(_) => None,
            Self::Shared(error) => error.hint(),
        }
    }
}

/// A connection to the server.
pub(crate) struct Session {
    /// The client. Its clones share the connection.
    pub(crate) client: Client,
    /// The namespace of the flag, or else of the kubeconfig's context or of the pod.
    pub(crate) namespace: String,
    /// The user whom the client certificate names, and so the server. It is empty if that is not known.
    pub(crate) user: String,
    cluster: Cluster,
    /// The address of the server, if no port is forwarded to it.
    address: Option<String>,
    limit: Duration,
}

impl Session {
    /// Connects to the server as a user, unless one of these connections already leads there.
    pub(crate) async fn open(
        cluster: Cluster,
        settings: &Settings,
        user: String,
        args: &ConnectionArgs,
        connections: &Connections,
    ) -> Result<Self, Error> {
        let limit = args.request_timeout;
        let client = connections.client(&cluster, settings, limit).await?;
        let namespace = cluster.namespace(args.kube.namespace.as_deref());
        let address = settings.address.as_ref().map(ToString::to_string);
        Ok(Self { client, namespace, user, cluster, address, limit })
    }

    /// Waits for the answer to a call, up to the request timeout.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallError> {
        call::wait_for_answer(self.limit, answer).await
    }

    /// Turns the name of a target into the target.
    pub(crate) async fn resolve(&self, target: &TargetRef) -> Result<Target, kubernetes::Error> {
        kubernetes::resolve(&self.cluster, target, &self.namespace, self.limit).await
    }

    /// The cluster, and the time limit of each request to its API server.
    pub(crate) const fn api(&self) -> (&Cluster, Duration) {
        (&self.cluster, self.limit)
    }

    /// Whether the server is reached at an address, and not through the API server.
    pub(crate) const fn has_address(&self) -> bool {
        self.address.is_some()
    }

    /// The context of the kubeconfig.
    pub(crate) fn context(&self) -> Option<&str> {
        self.cluster.context()
    }

    /// Which cluster it is: the UID of its namespace kube-system, if the caller may read that, and the address of its API
    /// server. A caller who connects to the server's address may not reach the API server, so that address stands for both.
    pub(crate) async fn identity(&self, limit: Duration) -> Result<(Option<String>, String), kubernetes::Error> {
        if let Some(address) = &self.address {
            return Ok((None, address.clone()));
        }
        let uid = kubernetes::uid(&self.cluster, limit.min(self.limit)).await.ok().flatten();
        Ok((uid, self.cluster.address().await?))
    }

    /// Who acts as the identity that the flags choose, if they choose one.
    pub(crate) async fn impersonator(&self) -> Result<Option<ApiUser>, kubernetes::Error> {
        match self.cluster.impersonation() {
            Some(_) if self.cluster.absence().is_none() => Ok(Some(kubernetes::own(&self.cluster, self.limit).await?)),
            _ => Ok(None),
        }
    }

    /// Why the pods of a target are not ready, as far as the caller may read them. If the API server was not needed so
    /// far, no credential program runs for this.
    pub(crate) async fn why_unready(&self, target: &Target, limit: Duration) -> Result<Vec<String>, kubernetes::Error> {
        if self.cluster.needs_program() {
            return Ok(Vec::new());
        }
        kubernetes::why_unready(&self.cluster, target, limit.min(self.limit)).await
    }

    /// The Events about the ends of a target's management, the oldest first, as far as the caller may read them. If the
    /// API server was not needed so far, no credential program runs for this.
    pub(crate) async fn ends_of_management(&self, target: &Target) -> Result<Vec<TargetEvent>, kubernetes::Error> {
        if self.cluster.needs_program() {
            return Ok(Vec::new());
        }
        kubernetes::ends_of_management(&self.cluster, target, self.limit).await
    }

    /// The version of a kind that the API server prefers.
    pub(crate) async fn version(&self, group: &str, kind: &str) -> Result<String, kubernetes::Error> {
        kubernetes::version(&self.cluster, group, kind, self.limit).await
    }
}

/// Connects to the server.
async fn connect(
    cluster: &Cluster,
    settings: &Settings,
    tls: Arc<ClientConfig>,
    limit: Duration,
) -> Result<Client, Error> {
    let (route, host) = find_route(cluster, settings, limit).await?;
    let name = parse_server_name(settings.server_name.as_ref().unwrap_or(&host))?;
    open_channel(Dialer { route, tls, name, limit }, &host).await
}

/// Finds the way to the server, and the name of that host.
async fn find_route(
    cluster: &Cluster,
    settings: &Settings,
    limit: Duration,
) -> Result<(Route, String), kubernetes::Error> {
    if let Some(address) = &settings.address {
        return Ok((Route::Address(address.clone()), address.host.clone()));
    }
    let server = cluster.server(&settings.service, limit).await?;
    let host = format!("{}.{}.svc", server.name, server.namespace);
    Ok((Route::Pods(server), host))
}

fn parse_server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName { name: name.to_owned() })
}

/// Opens the first connection. The client dials again when it breaks.
async fn open_channel(dialer: Dialer, host: &str) -> Result<Client, Error> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let connector = service_fn(move |_| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(TokioIo::new).map_err(Arc::new) }
    });
    let endpoint = Endpoint::from_shared(format!("https://{host}")).map_err(Error::Transport)?;
    let origin = endpoint.uri().clone();
    let channel = endpoint
        .user_agent(concat!("kubectl-replicas/", env!("CARGO_PKG_VERSION")))
        .map_err(Error::Transport)?
        .http2_keep_alive_interval(KEEPALIVE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| match find_cause::<Arc<dial::Error>>(&error) {
            Some(dial) => Error::Dial(dial.clone()),
            None => Error::Transport(error),
        })?;
    Ok(Client::new(Checked::new(channel, origin))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE))
}
