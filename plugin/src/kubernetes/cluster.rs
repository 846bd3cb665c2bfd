//! The cluster that the kubeconfig, or a pod's service account, gives access to.

use std::{sync::Arc, time::Duration};

use hyper::http::{Uri, uri::Authority};
use kube::{Client, Config, core::discovery::v2::APIGroupDiscovery};
use tokio::{sync::OnceCell, task};

use super::{
    api_server::ApiServer,
    client,
    error::Error,
    exec_credential::Manners,
    kubeconfig::{self, Choice, Contexts},
    pod::Pod,
    proxy::Proxy,
    server_url::Url,
    service::Server,
};
use crate::{args::KubeArgs, config::ServiceRef, impersonation::Impersonation};

/// The chosen cluster. It keeps the client of its API server, and what a command has looked up there.
pub(crate) struct Cluster {
    access: Access,
    manners: Manners,
    api_server: OnceCell<ApiServer>,
    client: OnceCell<Client>,
    groups: OnceCell<Vec<APIGroupDiscovery>>,
    server: OnceCell<Server>,
}

enum Access {
    Kubeconfig(Arc<Choice>),
    ServiceAccount {
        config: Box<Config>,
        impersonation: Option<Impersonation>,
        /// The namespace of the kubeconfig's context, if there is one.
        namespace: Option<String>,
    },
    /// There is no kubeconfig, and so far the command has not needed one.
    Absent {
        error: Arc<kubeconfig::Error>,
        impersonation: Option<Impersonation>,
    },
}

impl Cluster {
    /// Reads the kubeconfig. Without one, a pod uses its service account, as in kubectl.
    pub(crate) fn load(args: &KubeArgs) -> Result<Self, Error> {
        Ok(Self::new(Access::load(args)?))
    }

    /// Reads the kubeconfig like [`Cluster::load`], but fails only at the first use if there is none.
    pub(crate) fn load_if_present(args: &KubeArgs) -> Result<Self, Error> {
        match Access::load(args) {
            Err(error) if error.is_absence() => {
                let impersonation = args.impersonation.resolve(Impersonation::default());
                Ok(Self::new(Access::Absent { error: Arc::new(error), impersonation }))
            }
            access => Ok(Self::new(access?)),
        }
    }

    /// Chooses a context of the kubeconfig. Its credential program may ask the user questions only if `may_ask`.
    pub(crate) fn of_context(contexts: &Contexts<'_>, name: &str, may_ask: bool) -> Result<Self, Error> {
        let manners = if may_ask { Manners::Open } else { Manners::NoQuestions };
        Ok(Self { manners, ..Self::new(Access::Kubeconfig(Arc::new(contexts.choose(name)?))) })
    }

    fn new(access: Access) -> Self {
        Self {
            access,
            manners: Manners::Open,
            api_server: OnceCell::new(),
            client: OnceCell::new(),
            groups: OnceCell::new(),
            server: OnceCell::new(),
        }
    }

    /// Lets a credential program ask nothing, show nothing, and run for this time at most.
    pub(crate) fn silent(mut self, limit: Duration) -> Self {
        self.manners = Manners::Silent(limit);
        self
    }

    /// Why there is no kubeconfig, if there is none.
    pub(crate) fn absence(&self) -> Option<&Arc<kubeconfig::Error>> {
        match &self.access {
            Access::Absent { error, .. } => Some(error),
            Access::Kubeconfig(_) | Access::ServiceAccount { .. } => None,
        }
    }

    /// The name of the kubeconfig's context. A service account has none.
    pub(crate) fn context(&self) -> Option<&str> {
        match &self.access {
            Access::Kubeconfig(choice) => choice.context(),
            Access::ServiceAccount { .. } | Access::Absent { .. } => None,
        }
    }

    /// The names of the kubeconfig's cluster and user. Only a kubeconfig has them.
    pub(crate) fn entries(&self) -> Option<(&str, &str)> {
        match &self.access {
            Access::Kubeconfig(choice) => Some(choice.entries()),
            Access::ServiceAccount { .. } | Access::Absent { .. } => None,
        }
    }

    /// The identity that the flags choose, if they choose one.
    pub(crate) fn impersonation(&self) -> Option<&Impersonation> {
        match &self.access {
            Access::Kubeconfig(choice) => choice.impersonation(),
            Access::ServiceAccount { impersonation, .. } | Access::Absent { impersonation, .. } => {
                impersonation.as_ref()
            }
        }
    }

    /// The namespace of the flag, or else of the context, or else of the pod in which this program runs.
    pub(crate) fn namespace(&self, flag: Option<&str>) -> String {
        let of_context = || match &self.access {
            Access::Kubeconfig(choice) => choice.namespace(),
            Access::ServiceAccount { namespace, .. } => namespace.clone(),
            Access::Absent { .. } => None,
        };
        let of_pod = || Pod::current().map(|pod| pod.namespace());
        let known = flag.map(str::to_owned).or_else(of_context).or_else(of_pod);
        known.unwrap_or_else(|| "default".to_owned())
    }

    /// Whether the first request to the API server would run a credential program, which may ask the user questions.
    pub(crate) fn needs_program(&self) -> bool {
        match &self.access {
            Access::Kubeconfig(choice) => !self.api_server.initialized() && choice.has_program(),
            Access::ServiceAccount { .. } | Access::Absent { .. } => false,
        }
    }

    /// The client of the API server. The first call runs the kubeconfig's credential program, if there is one.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let connect = async || build(self.api_server().await?);
        self.client.get_or_try_init(connect).await.cloned()
    }

    /// A client that acts as no other user than that of the credentials.
    pub(crate) async fn own_client(&self) -> Result<Client, Error> {
        let mut server = self.api_server().await?.clone();
        // These are the headers of impersonation, and no others.
        server.config.headers = Vec::new();
        build(&server)
    }

    /// The kinds of the API server, once they were discovered.
    pub(super) const fn groups(&self) -> &OnceCell<Vec<APIGroupDiscovery>> {
        &self.groups
    }

    /// The server's Service. It is looked up once, unless the look-up fails.
    pub(crate) async fn server(&self, known: &ServiceRef, limit: Duration) -> Result<Server, Error> {
        let find = async || Ok(Server::find(self.client().await?, known, limit).await?);
        self.server.get_or_try_init(find).await.cloned()
    }

    /// The address of the API server, without a user and a password.
    pub(crate) async fn address(&self) -> Result<String, Error> {
        let url = &self.api_server().await?.config.cluster_url;
        Ok(format!(
            "{}://{}{}",
            url.scheme_str().unwrap_or("https"),
            host_and_port(url),
            url.path().trim_end_matches('/')
        ))
    }

    /// How to reach the API server. The first call runs the kubeconfig's credential program, if there is one.
    async fn api_server(&self) -> Result<&ApiServer, Error> {
        let connect = async || match &self.access {
            Access::Kubeconfig(choice) => Ok(connect(choice.clone(), self.manners).await?),
            Access::ServiceAccount { config, impersonation, .. } => {
                Ok(of_service_account(config, impersonation.as_ref())?)
            }
            Access::Absent { error, .. } => Err(Error::from(error.clone())),
        };
        self.api_server.get_or_try_init(connect).await
    }
}

/// Connects on a thread of its own: other clusters of the command do not wait for a credential program.
async fn connect(choice: Arc<Choice>, manners: Manners) -> Result<ApiServer, kubeconfig::Error> {
    let connect = task::spawn_blocking(move || choice.connect(manners));
    connect.await.unwrap_or_else(|error| Err(kubeconfig::Error::Client(Box::new(kube::Error::Service(error.into())))))
}

fn host_and_port(url: &Uri) -> &str {
    let authority = url.authority().map_or("", Authority::as_str);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn build(server: &ApiServer) -> Result<Client, Error> {
    client::build(server).map_err(|error| kubeconfig::Error::Client(Box::new(error)).into())
}

impl Access {
    /// Reads the kubeconfig. If it chooses no cluster, a pod uses its service account, with the namespace of the context.
    fn load(args: &KubeArgs) -> Result<Self, kubeconfig::Error> {
        let error = match Choice::load(args) {
            Ok(choice) => return Ok(Self::Kubeconfig(Arc::new(choice))),
            Err(error) => error,
        };
        let Some(pod) = Pod::current().filter(|_| error.is_without_cluster(args)) else { return Err(error) };
        let mut config = pod.config().map_err(|error| kubeconfig::Error::ServiceAccount(Box::new(error)))?;
        if let Some(token) = &args.overrides.token {
            config.auth_info.token_file = None;
            config.auth_info.token = Some(token.0.clone().into());
        }
        let impersonation = args.impersonation.resolve(Impersonation::default());
        Ok(Self::ServiceAccount { config: Box::new(config), impersonation, namespace: error.namespace() })
    }
}

fn of_service_account(config: &Config, impersonation: Option<&Impersonation>) -> Result<ApiServer, kubeconfig::Error> {
    let mut config = config.clone();
    if let Some(impersonation) = impersonation {
        config.headers = kubeconfig::impersonation_headers(impersonation)?;
    }
    let proxy = Url::of_server(&config.cluster_url.to_string()).map(|url| Proxy::of_environment(&url)).transpose()?;
    Ok(ApiServer { config, identity: None, proxy: proxy.flatten() })
}
