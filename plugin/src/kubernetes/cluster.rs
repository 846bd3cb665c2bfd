//! The cluster that the kubeconfig, or a pod's service account, gives access to.

use std::{env, sync::Arc, time::Duration};

use kube::{Client, Config, core::discovery::v2::APIGroupDiscovery};
use tokio::sync::OnceCell;

use super::{
    api_server::ApiServer,
    client,
    error::Error,
    kubeconfig::{self, Choice},
    proxy::Proxy,
    server_url::Url,
    service::Server,
};
use crate::{args::KubeArgs, config::ServiceRef};

/// The kubelet sets this variable in every pod. client-go also takes it as the sign that it runs in one.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// In a pod, kubectl prefers this variable to the namespace of the service account.
const POD_NAMESPACE: &str = "POD_NAMESPACE";

/// The chosen cluster. It keeps the client of its API server, and what a command has looked up there.
pub(crate) struct Cluster {
    access: Access,
    client: OnceCell<Client>,
    groups: OnceCell<Vec<APIGroupDiscovery>>,
    server: OnceCell<Server>,
}

enum Access {
    Kubeconfig(Box<Choice>),
    ServiceAccount(Box<Config>),
    /// There is no kubeconfig, and so far the command has not needed one.
    Absent(Arc<kubeconfig::Error>),
}

impl Cluster {
    /// Reads the kubeconfig. Without one, a pod uses its service account, as in kubectl.
    pub(crate) fn load(args: &KubeArgs) -> Result<Self, Error> {
        Ok(Self::new(Access::load(args)?))
    }

    /// Reads the kubeconfig like [`Cluster::load`], but fails only at the first use if there is none.
    pub(crate) fn load_if_present(args: &KubeArgs) -> Result<Self, Error> {
        match Access::load(args) {
            Err(error) if error.is_absence() => Ok(Self::new(Access::Absent(Arc::new(error)))),
            access => Ok(Self::new(access?)),
        }
    }

    fn new(access: Access) -> Self {
        Self { access, client: OnceCell::new(), groups: OnceCell::new(), server: OnceCell::new() }
    }

    /// Why there is no kubeconfig, if there is none.
    pub(crate) fn absence(&self) -> Option<&Arc<kubeconfig::Error>> {
        match &self.access {
            Access::Absent(error) => Some(error),
            Access::Kubeconfig(_) | Access::ServiceAccount(_) => None,
        }
    }

    /// The name of the kubeconfig's context. A service account has none.
    pub(crate) fn context(&self) -> Option<&str> {
        match &self.access {
            Access::Kubeconfig(choice) => choice.context(),
            Access::ServiceAccount(_) | Access::Absent(_) => None,
        }
    }

    /// The namespace of the context, or of the service account.
    pub(crate) fn namespace(&self) -> Option<String> {
        match &self.access {
            Access::Kubeconfig(choice) => choice.namespace(),
            Access::ServiceAccount(config) => {
                let of_pod = env::var(POD_NAMESPACE).ok().filter(|namespace| !namespace.is_empty());
                Some(of_pod.unwrap_or_else(|| config.default_namespace.trim().to_owned()))
            }
            Access::Absent(_) => None,
        }
    }

    /// The client of the API server. The first call runs the kubeconfig's credential program, if there is one.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        self.client.get_or_try_init(|| self.new_client()).await.cloned()
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

    async fn new_client(&self) -> Result<Client, Error> {
        let server = match &self.access {
            Access::Kubeconfig(choice) => choice.connect()?,
            Access::ServiceAccount(config) => of_service_account(config)?,
            Access::Absent(error) => return Err(error.clone().into()),
        };
        client::build(&server).map_err(|error| kubeconfig::Error::Client(Box::new(error)).into())
    }
}

impl Access {
    fn load(args: &KubeArgs) -> Result<Self, kubeconfig::Error> {
        let is_in_pod = || env::var_os(IN_POD).is_some_and(|host| !host.is_empty());
        match Choice::load(args) {
            Err(error) if error.is_absence() && !needs_kubeconfig(args) && is_in_pod() => {
                let config = Config::incluster().map_err(|error| kubeconfig::Error::ServiceAccount(Box::new(error)))?;
                Ok(Self::ServiceAccount(Box::new(config)))
            }
            choice => Ok(Self::Kubeconfig(Box::new(choice?))),
        }
    }
}

/// Whether a flag names something that only a kubeconfig has.
fn needs_kubeconfig(args: &KubeArgs) -> bool {
    args.kubeconfig.is_some() || args.context.is_some() || args.cluster.is_some() || args.user.is_some()
}

fn of_service_account(config: &Config) -> Result<ApiServer, kubeconfig::Error> {
    let proxy = Url::of_server(&config.cluster_url.to_string()).map(|url| Proxy::of_environment(&url)).transpose()?;
    Ok(ApiServer { config: config.clone(), identity: None, proxy: proxy.flatten() })
}
