//! The user's kubeconfig, and the context, cluster and user that the flags choose from it.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use kube::{
    Config,
    config::{Context, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::exec_credential;
use crate::{args::KubeArgs, yaml::Mistake};

/// Why the kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no kubeconfig: looked for {}", paths(looked))]
    Missing { looked: Vec<PathBuf> },
    #[error("failed to read the kubeconfig {}", path.display())]
    Read { path: PathBuf, source: Box<KubeconfigError> },
    #[error("the kubeconfig {} is wrong", path.display())]
    Parse { path: PathBuf, source: Mistake },
    #[error("there is no kubeconfig, and the service account of this pod cannot be used")]
    ServiceAccount(#[source] Box<InClusterError>),
    #[error("the kubeconfig has no current context")]
    NoCurrentContext { known: Vec<String> },
    #[error("the kubeconfig has no context {name:?}")]
    NoContext { name: String, known: Vec<String> },
    #[error("the kubeconfig has no {what} {name:?}")]
    NoEntry { what: &'static str, name: String, known: Vec<String> },
    #[error("the kubeconfig cannot be used")]
    Invalid(#[source] Box<KubeconfigError>),
    #[error("failed to log in to the cluster")]
    Login(#[from] exec_credential::Error),
    #[error("failed to prepare the connection to the API server")]
    Client(#[source] Box<kube::Error>),
}

impl Error {
    /// Whether there is no kubeconfig. With --address, most commands work without one.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::ServiceAccount(_) | Self::NoCurrentContext { .. })
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::ServiceAccount(_) => Some(
                "name one with --kubeconfig or KUBECONFIG, or connect directly with --address HOST:PORT".to_owned(),
            ),
            Self::NoCurrentContext { known } | Self::NoContext { known, .. } if known.is_empty() => {
                Some("the kubeconfig has no contexts; add one with `kubectl config set-context`".to_owned())
            }
            Self::NoCurrentContext { known } | Self::NoContext { known, .. } => {
                Some(format!("choose one with --context: {}", known.join(", ")))
            }
            Self::NoEntry { what, known, .. } if known.is_empty() => {
                Some(format!("the kubeconfig has no {what} at all"))
            }
            Self::NoEntry { what, known, .. } => Some(format!("choose one with --{what}: {}", known.join(", "))),
            Self::Login(error) => error.hint(),
            _ => None,
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The kubeconfig, and the flags that choose from it.
pub(super) struct Choice {
    kubeconfig: Kubeconfig,
    options: KubeConfigOptions,
}

impl Choice {
    /// Reads the kubeconfig and checks that it has what the flags name.
    pub(super) fn load(args: &KubeArgs) -> Result<Self, Error> {
        let kubeconfig = match &args.kubeconfig {
            Some(path) => read(path)?.ok_or_else(|| Error::Missing { looked: vec![path.clone()] })?,
            None => merge(&default_paths())?,
        };
        let options =
            KubeConfigOptions { context: args.context.clone(), cluster: args.cluster.clone(), user: args.user.clone() };
        let choice = Self { kubeconfig, options };
        choice.check()?;
        Ok(choice)
    }

    /// Checks that the named entries exist. kube would treat a missing user as one without credentials.
    fn check(&self) -> Result<(), Error> {
        let known = || self.kubeconfig.contexts.iter().map(|context| context.name.clone()).collect::<Vec<_>>();
        match self.context() {
            None => return Err(Error::NoCurrentContext { known: known() }),
            Some(name) if known().iter().any(|known| known == name) => {}
            Some(name) => return Err(Error::NoContext { name: name.to_owned(), known: known() }),
        }
        let clusters = self.kubeconfig.clusters.iter().map(|cluster| &cluster.name);
        check_entry("cluster", self.options.cluster.as_ref(), clusters)?;
        let users = self.kubeconfig.auth_infos.iter().map(|user| &user.name);
        check_entry("user", self.options.user.as_ref(), users)
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

    pub(super) fn namespace(&self) -> Option<String> {
        self.chosen()?.namespace.clone().filter(|namespace| !namespace.is_empty())
    }

    /// The configuration of a kube client.
    pub(super) async fn config(&self) -> Result<Config, Error> {
        let config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &self.options);
        config.await.map_err(|error| Error::Invalid(Box::new(error)))
    }

    /// Whether the kubeconfig itself names a proxy. NO_PROXY does not apply to such a proxy.
    pub(super) fn has_proxy(&self) -> bool {
        let context = self.chosen().map(|context| context.cluster.as_str());
        let name = self.options.cluster.as_deref().or(context);
        let cluster = self.kubeconfig.clusters.iter().find(|cluster| Some(cluster.name.as_str()) == name);
        let proxy = cluster.and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.as_deref());
        proxy.is_some_and(|proxy| !proxy.is_empty())
    }
}

fn check_entry<'a>(
    what: &'static str,
    name: Option<&String>,
    known: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), Error> {
    match name {
        Some(name) if !known.clone().any(|known| known == name) => {
            Err(Error::NoEntry { what, name: name.clone(), known: known.cloned().collect() })
        }
        _ => Ok(()),
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

/// Merges the files that exist. kubectl also skips missing files of a list.
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
        Err(KubeconfigError::Parse(error)) => {
            Err(Error::Parse { path: path.to_owned(), source: Mistake::from(error.as_ref()) })
        }
        Err(error) => Err(Error::Read { path: path.to_owned(), source: Box::new(error) }),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::explain;

    const TWO: &str = "
current-context: a
contexts:
- {name: a, context: {cluster: c, user: u, namespace: shop}}
- {name: b, context: {cluster: c, user: u}}
";

    fn choose(text: &str, options: KubeConfigOptions) -> Result<Choice, Error> {
        let choice = Choice { kubeconfig: Kubeconfig::from_yaml(text).unwrap(), options };
        choice.check()?;
        Ok(choice)
    }

    fn cluster(text: &str, context: Option<&str>) -> Result<Choice, Error> {
        choose(text, KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() })
    }

    #[test]
    fn the_namespace_is_that_of_the_context() {
        assert_eq!(cluster(TWO, None).unwrap().namespace().as_deref(), Some("shop"));
        assert_eq!(cluster(TWO, Some("b")).unwrap().namespace(), None);
    }

    #[test]
    fn the_hint_for_an_unknown_context_lists_the_known_ones() {
        let error = cluster(TWO, Some("c")).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no context \"c\"");
        assert_eq!(error.hint().unwrap(), "choose one with --context: a, b");
        assert!(matches!(cluster("{}", None), Err(Error::NoCurrentContext { .. })));
    }

    #[test]
    fn the_hint_for_an_unknown_user_or_cluster_lists_the_known_ones() {
        let text = format!("{TWO}users: [{{name: u, user: {{}}}}, {{name: v, user: {{}}}}]");
        let named = |user: Option<&str>, cluster: Option<&str>| {
            let [user, cluster] = [user, cluster].map(|name| name.map(str::to_owned));
            choose(&text, KubeConfigOptions { user, cluster, ..KubeConfigOptions::default() })
        };
        assert!(named(Some("v"), None).is_ok());
        let error = named(Some("w"), None).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no user \"w\"");
        assert_eq!(error.hint().unwrap(), "choose one with --user: u, v");
        let error = named(None, Some("d")).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no cluster \"d\"");
        assert_eq!(error.hint().unwrap(), "the kubeconfig has no cluster at all");
    }

    #[test]
    fn a_mistake_is_shown_without_the_secrets_around_it() {
        let path = env::temp_dir().join(format!("kubectl-replicas-kubeconfig-{}", std::process::id()));
        for wrong in ["users: [{name: u, user: s3cret}]", "users:\n- name: u\n  user:\n    token: [s3cret\n  x: {"] {
            fs::write(&path, wrong).unwrap();
            let error = crate::error::Error::from(crate::kubernetes::Error::from(read(&path).unwrap_err()));
            let text = explain("error", &error);
            assert!(text.contains(" is wrong\n  caused by: line ") && !text.contains("s3cret"), "{text}");
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn files_that_do_not_exist_are_skipped() {
        let error = merge(&["/nonexistent/a".into(), "/nonexistent/b".into()]).err().unwrap();
        assert_eq!(error.to_string(), "there is no kubeconfig: looked for /nonexistent/a, /nonexistent/b");
    }
}
