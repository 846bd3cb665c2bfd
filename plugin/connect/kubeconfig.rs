//! The user's kubeconfig: the context, its namespace, and a client of its API server.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Client, Config,
    config::{Context, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use replica_count_manager::apiserver;
use tokio::sync::OnceCell;

use super::exec;
use crate::args::KubeArgs;

/// Why the kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no kubeconfig: looked for {}", paths(looked))]
    Missing { looked: Vec<PathBuf> },
    #[error("failed to read the kubeconfig {}", path.display())]
    Read { path: PathBuf, source: Box<KubeconfigError> },
    #[error("the kubeconfig has no current context")]
    NoCurrentContext { known: Vec<String> },
    #[error("the kubeconfig has no context {name:?}")]
    NoContext { name: String, known: Vec<String> },
    #[error("the kubeconfig cannot be used")]
    Invalid(#[source] Box<KubeconfigError>),
    #[error("failed to log in to the cluster")]
    Login(#[from] exec::Error),
    #[error("failed to prepare the connection to the API server")]
    Client(#[source] Box<kube::Error>),
}

impl Error {
    /// Whether there is nothing to read, which does not matter unless the API server is needed.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NoCurrentContext { .. })
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "name one with --kubeconfig or KUBECONFIG, or connect directly with --address HOST:PORT".to_owned(),
            ),
            Self::NoCurrentContext { known } | Self::NoContext { known, .. } if known.is_empty() => {
                Some("the kubeconfig has no contexts at all; add one with kubectl config set-context".to_owned())
            }
            Self::NoCurrentContext { known } | Self::NoContext { known, .. } => {
                Some(format!("choose one with --context: {}", known.join(", ")))
            }
            Self::Login(error) => error.hint(),
            _ => None,
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The kubeconfig and what of it was chosen.
pub(super) struct Cluster {
    kubeconfig: Kubeconfig,
    options: KubeConfigOptions,
    client: OnceCell<Client>,
}

impl Cluster {
    /// Reads the kubeconfig, or says that there is none.
    pub(super) fn load(args: &KubeArgs) -> Result<Self, Error> {
        let kubeconfig = match &args.kubeconfig {
            Some(path) => read(path)?.ok_or_else(|| Error::Missing { looked: vec![path.clone()] })?,
            None => merge(&default_paths())?,
        };
        let options =
            KubeConfigOptions { context: args.context.clone(), cluster: args.cluster.clone(), user: args.user.clone() };
        let cluster = Self { kubeconfig, options, client: OnceCell::new() };
        cluster.check_context()?;
        Ok(cluster)
    }

    fn check_context(&self) -> Result<(), Error> {
        let known = || self.kubeconfig.contexts.iter().map(|context| context.name.clone()).collect::<Vec<_>>();
        match self.context() {
            None => Err(Error::NoCurrentContext { known: known() }),
            Some(name) if known().iter().any(|known| known == name) => Ok(()),
            Some(name) => Err(Error::NoContext { name: name.to_owned(), known: known() }),
        }
    }

    /// The name of the context.
    pub(super) fn context(&self) -> Option<&str> {
        let name = self.options.context.as_deref().or(self.kubeconfig.current_context.as_deref());
        name.filter(|name| !name.is_empty())
    }

    fn chosen(&self) -> Option<&Context> {
        let named = self.kubeconfig.contexts.iter().find(|context| Some(context.name.as_str()) == self.context())?;
        named.context.as_ref()
    }

    /// The context's namespace.
    pub(super) fn namespace(&self) -> Option<String> {
        self.chosen()?.namespace.clone().filter(|namespace| !namespace.is_empty())
    }

    /// The client of the API server; the first call logs in if the kubeconfig names a program for that.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        self.client.get_or_try_init(|| self.new_client()).await.cloned()
    }

    async fn new_client(&self) -> Result<Client, Error> {
        let mut config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &self.options)
            .await
            .map_err(|error| Error::Invalid(Box::new(error)))?;
        exec::log_in(&mut config.auth_info)?;
        if !self.names_a_proxy() && Matcher::from_env().intercept(&config.cluster_url).is_none() {
            // kube applies NO_PROXY to the proxy's own address; it is meant for the API server's.
            config.proxy_url = None;
        }
        let client = match config.proxy_url {
            // The price of kube's own client is up to 40 ms a call; next to a proxy's it is small.
            Some(_) => Client::try_from(config),
            None => apiserver::client(&config),
        };
        client.map_err(|error| Error::Client(Box::new(error)))
    }

    /// Whether the kubeconfig itself names a proxy, which NO_PROXY does not apply to.
    fn names_a_proxy(&self) -> bool {
        let context = self.chosen().map(|context| context.cluster.as_str());
        let name = self.options.cluster.as_deref().or(context);
        let cluster = self.kubeconfig.clusters.iter().find(|cluster| Some(cluster.name.as_str()) == name);
        let proxy = cluster.and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.as_deref());
        proxy.is_some_and(|proxy| !proxy.is_empty())
    }
}

fn default_paths() -> Vec<PathBuf> {
    let listed: Vec<PathBuf> = env::var_os("KUBECONFIG").iter().flat_map(env::split_paths).collect();
    let listed: Vec<PathBuf> = listed.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
    match listed.is_empty() {
        true => dirs::home_dir().map(|home| home.join(".kube").join("config")).into_iter().collect(),
        false => listed,
    }
}

/// Merges the files that exist: in a list, kubectl skips those that do not.
fn merge(paths: &[PathBuf]) -> Result<Kubeconfig, Error> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let Some(next) = read(path)? else { continue };
        let both = match merged {
            Some(before) => before.merge(next).map_err(|error| Error::Invalid(Box::new(error)))?,
            None => next,
        };
        merged = Some(both);
    }
    merged.ok_or_else(|| Error::Missing { looked: paths.to_vec() })
}

fn read(path: &Path) -> Result<Option<Kubeconfig>, Error> {
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read { path: path.to_owned(), source: Box::new(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
current-context: a
contexts:
- {name: a, context: {cluster: c, user: u, namespace: shop}}
- {name: b, context: {cluster: c, user: u}}
";

    fn cluster(text: &str, context: Option<&str>) -> Result<Cluster, Error> {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let cluster = Cluster { kubeconfig: Kubeconfig::from_yaml(text).unwrap(), options, client: OnceCell::new() };
        cluster.check_context()?;
        Ok(cluster)
    }

    #[test]
    fn the_namespace_is_the_contexts() {
        assert_eq!(cluster(TWO, None).unwrap().namespace().as_deref(), Some("shop"));
        assert_eq!(cluster(TWO, Some("b")).unwrap().namespace(), None);
    }

    #[test]
    fn a_context_that_is_not_there_is_answered_with_those_that_are() {
        let error = cluster(TWO, Some("c")).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no context \"c\"");
        assert_eq!(error.hint().unwrap(), "choose one with --context: a, b");
        assert!(matches!(cluster("{}", None), Err(Error::NoCurrentContext { .. })));
    }

    #[test]
    fn files_that_do_not_exist_are_skipped() {
        let error = merge(&["/nonexistent/a".into(), "/nonexistent/b".into()]).err().unwrap();
        assert_eq!(error.to_string(), "there is no kubeconfig: looked for /nonexistent/a, /nonexistent/b");
    }
}
