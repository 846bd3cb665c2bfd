//! The way to the server: kubeconfig → Service → ready pod → port-forward → TLS → gRPC; or an address → TLS → gRPC.

mod api;
mod call;
mod chain;
mod client;
mod cluster;
mod details;
mod dial;
mod exec;
mod handshake;
mod import;
mod kubeconfig;
mod login;
mod service;
mod stored;
mod tls;

use std::{sync::Arc, time::Duration};

use contract::replicas::v1::{Target, replicas_service_client::ReplicasServiceClient};
use hyper_util::rt::TokioIo;
use kube::discovery;
use rustls::pki_types::ServerName;
use tonic::{Response, Status, codec::CompressionEncoding, transport::Endpoint};
use tower::service_fn;

#[cfg(test)]
pub(crate) use self::call::Error as CallError;
pub(crate) use self::{
    call::{Refusal, explain, may_pass},
    import::{Source, import},
    login::Wish,
    stored::{log_in, log_out, set},
};
use self::{
    chain::find,
    cluster::Cluster,
    dial::{Dialer, Route},
    service::Server,
};
use crate::{
    args::ConnectionArgs,
    config::Settings,
    error::Error as CommandError,
    target::{KindRef, TargetRef},
};

/// Notices during a long watch that the server is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How large an answer may be. A page of 500 entries, each with ten changes and two conditions, takes up to about 40 MiB
/// if their reasons and messages are as long as they may be; gRPC's usual 4 MiB are for smaller things.
const MAX_MESSAGE: usize = 64 << 20;

/// The client of the server's API.
pub(crate) type Client = ReplicasServiceClient<details::Checked>;

/// Why there is no connection to the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kubeconfig(#[from] Arc<kubeconfig::Error>),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Dial(#[from] Arc<dial::Error>),
    #[error(transparent)]
    Call(#[from] call::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Login(#[from] login::Error),
    #[error(transparent)]
    Import(#[from] import::Error),
    #[error("{name:?} is not a name that a certificate can be for")]
    ServerName { name: String },
    #[error("failed to open the connection")]
    Transport(#[source] tonic::transport::Error),
    #[error("the API group {group} has no resource {resource}")]
    NoResource { resource: String, group: String },
    #[error("only the API server knows the kind of {resource}.{group}")]
    NoDiscovery { resource: String, group: String, source: Arc<kubeconfig::Error> },
}

impl Error {
    /// Whether only the answer to one call is missing, while the next one may well get its own.
    pub(crate) fn is_of_one_call(&self) -> bool {
        matches!(self, Self::Call(call::Error::TimedOut { .. } | call::Error::Lost { .. }))
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Kubeconfig(error) => error.hint(),
            Self::Service(error) => error.hint(),
            Self::Tls(error) => error.hint(),
            Self::Dial(error) => error.hint(),
            Self::Call(error) => error.hint(),
            Self::Api(error) => error.hint(),
            Self::Login(error) => error.hint(),
            Self::Import(error) => error.hint(),
            Self::ServerName { .. } => Some("give the name in the server's certificate with --server-name".to_owned()),
            Self::Transport(_) | Self::NoDiscovery { .. } => None,
            Self::NoResource { group, .. } => {
                Some(format!("`kubectl api-resources --api-group {group}` shows what it has"))
            }
        }
    }
}

impl From<kubeconfig::Error> for Error {
    fn from(error: kubeconfig::Error) -> Self {
        Arc::new(error).into()
    }
}

/// A connection to the server, and what commands need besides it.
pub(crate) struct Session {
    /// The client; clones share the connection.
    pub(crate) client: Client,
    /// The namespace that was asked for, or the context's.
    pub(crate) namespace: String,
    /// The way to the API server, or why there is none, which does not matter if an address is given.
    cluster: Result<Cluster, Arc<kubeconfig::Error>>,
    limit: Duration,
}

impl Session {
    /// Connects to the server.
    pub(crate) async fn open(args: &ConnectionArgs) -> Result<Self, CommandError> {
        let limit = args.request_timeout;
        let cluster = match Cluster::load(&args.kube) {
            Err(error) if error.is_absence() && args.server.address.is_some() => Err(Arc::new(error)),
            cluster => Ok(cluster.map_err(Error::from)?),
        };
        let context = cluster.as_ref().ok().and_then(Cluster::context);
        let mut settings = Settings::load(context, &args.server)?;
        if let Ok(cluster) = &cluster
            && let Some(user) = stored::due(&settings)
        {
            stored::renew(cluster, &settings, args, &user).await?;
            settings = Settings::load(context, &args.server)?;
        }
        // What is wrong with the certificates shows without a network.
        let tls = tls::client_config(&settings, context).map_err(Error::from)?;
        let (route, host) = route(&cluster, &settings, limit).await?;
        let name = server_name(settings.server_name.as_ref().unwrap_or(&host))?;
        let client = connect(Dialer { route, tls, name, limit }, &host).await?;
        let namespace = args.kube.namespace.clone().or_else(|| cluster.as_ref().ok()?.namespace());
        Ok(Self { client, namespace: namespace.unwrap_or_else(|| "default".to_owned()), cluster, limit })
    }

    /// Waits for the answer to a call, up to the request timeout.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CommandError> {
        call::call(self.limit, answer).await
    }

    /// Turns the name of a target into the target, with the API server's help where the kind is not built in.
    pub(crate) async fn resolve(&self, target: &TargetRef) -> Result<Target, CommandError> {
        let (group, kind) = match &target.kind {
            KindRef::Apps(kind) => ("apps", (*kind).to_owned()),
            KindRef::Resource { resource, group } => (group.as_str(), self.discover(resource, group).await?),
        };
        Ok(Target { namespace: self.namespace.clone(), group: group.to_owned(), kind, name: target.name.clone() })
    }

    async fn discover(&self, resource: &str, group: &str) -> Result<String, Error> {
        let names = || (resource.to_owned(), group.to_owned());
        let no_discovery = |source: &Arc<kubeconfig::Error>| {
            let (resource, group) = names();
            Error::NoDiscovery { resource, group, source: source.clone() }
        };
        let kube = self.cluster.as_ref().map_err(no_discovery)?.client().await?;
        let action = format!("discover the kinds of the API group {group}");
        let known = match api::ask(self.limit, action, found(discovery::group(&kube, group))).await? {
            Some(group) => group.recommended_resources(),
            None => Vec::new(),
        };
        let is_it = |kind: &str, plural: &str| plural == resource || kind.to_ascii_lowercase() == resource;
        let kind = known.into_iter().find(|(known, _)| is_it(&known.kind, &known.plural)).map(|(known, _)| known.kind);
        let (resource, group) = names();
        kind.ok_or(Error::NoResource { resource, group })
    }
}

/// An API group that does not exist is an answer too.
async fn found<T>(group: impl Future<Output = Result<T, kube::Error>>) -> Result<Option<T>, kube::Error> {
    match group.await {
        Err(kube::Error::Discovery(_)) => Ok(None),
        group => group.map(Some),
    }
}

/// Where the server is, and the name of that host.
async fn route(
    cluster: &Result<Cluster, Arc<kubeconfig::Error>>,
    settings: &Settings,
    limit: Duration,
) -> Result<(Route, String), Error> {
    if let Some(address) = &settings.address {
        return Ok((Route::Address(address.clone()), address.host.clone()));
    }
    let cluster = cluster.as_ref().map_err(Arc::clone)?;
    let server = Server::find(cluster.client().await?, &settings.service, limit).await?;
    let host = format!("{}.{}.svc", server.name, server.namespace);
    Ok((Route::Pods(server), host))
}

fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName { name: name.to_owned() })
}

/// Makes the first connection, and the way to make another when it breaks.
async fn connect(dialer: Dialer, host: &str) -> Result<Client, Error> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let connector = service_fn(move |_| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(TokioIo::new).map_err(Arc::new) }
    });
    let endpoint = Endpoint::from_shared(format!("https://{host}")).map_err(Error::Transport)?;
    let channel = endpoint
        .user_agent(concat!("kubectl-replicas/", env!("CARGO_PKG_VERSION")))
        .map_err(Error::Transport)?
        .http2_keep_alive_interval(KEEPALIVE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| match find::<Arc<dial::Error>>(&error) {
            Some(dial) => Error::Dial(dial.clone()),
            None => Error::Transport(error),
        })?;
    Ok(Client::new(details::checked(channel))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE))
}
