//! The way to the API server: what the kubeconfig says, or in a pod its service account.

use std::env;

use hyper_util::client::proxy::matcher::Matcher;
use kube::{Client, Config};
use tokio::sync::OnceCell;

use super::{
    client, exec,
    kubeconfig::{Choice, Error},
};
use crate::args::KubeArgs;

/// What the kubelet sets in every pod, and client-go takes as the sign that it runs in one.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// The cluster that was chosen, and a client of its API server.
pub(super) struct Cluster {
    access: Access,
    client: OnceCell<Client>,
}

enum Access {
    Kubeconfig(Box<Choice>),
    ServiceAccount(Box<Config>),
}

impl Cluster {
    /// Reads the kubeconfig; without any, a pod has its service account, as with kubectl.
    pub(super) fn load(args: &KubeArgs) -> Result<Self, Error> {
        let in_pod = || env::var_os(IN_POD).is_some_and(|host| !host.is_empty());
        let access = match Choice::load(args) {
            Err(Error::Missing { .. }) if names_nothing(args) && in_pod() => {
                let config = Config::incluster().map_err(|error| Error::ServiceAccount(Box::new(error)))?;
                Access::ServiceAccount(Box::new(config))
            }
            choice => Access::Kubeconfig(Box::new(choice?)),
        };
        Ok(Self { access, client: OnceCell::new() })
    }

    /// The name of the context, which a service account has none of.
    pub(super) fn context(&self) -> Option<&str> {
        match &self.access {
            Access::Kubeconfig(choice) => choice.context(),
            Access::ServiceAccount(_) => None,
        }
    }

    /// The namespace of the context, or of the service account.
    pub(super) fn namespace(&self) -> Option<String> {
        match &self.access {
            Access::Kubeconfig(choice) => choice.namespace(),
            Access::ServiceAccount(config) => Some(config.default_namespace.trim().to_owned()),
        }
    }

    /// The client of the API server; the first call logs in if the kubeconfig names a program for that.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        self.client.get_or_try_init(|| self.new_client()).await.cloned()
    }

    async fn new_client(&self) -> Result<Client, Error> {
        let config = match &self.access {
            Access::Kubeconfig(choice) => log_in(choice).await?,
            Access::ServiceAccount(config) => Config::clone(config),
        };
        let client = match config.proxy_url {
            // The price of kube's own client is up to 40 ms a call; next to a proxy's it is small.
            Some(_) => Client::try_from(config),
            None => client::client(&config),
        };
        client.map_err(|error| Error::Client(Box::new(error)))
    }
}

/// Whether no flag asks for something that only a kubeconfig has.
fn names_nothing(args: &KubeArgs) -> bool {
    args.kubeconfig.is_none() && args.context.is_none() && args.cluster.is_none() && args.user.is_none()
}

async fn log_in(choice: &Choice) -> Result<Config, Error> {
    let mut config = choice.config().await?;
    exec::log_in(&mut config.auth_info)?;
    if !choice.names_a_proxy() && Matcher::from_env().intercept(&config.cluster_url).is_none() {
        // kube applies NO_PROXY to the proxy's own address; it is meant for the API server's.
        config.proxy_url = None;
    }
    Ok(config)
}
