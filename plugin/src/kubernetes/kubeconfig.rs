//! The user's kubeconfig, and the context, cluster and user that the flags choose from it.
//!
//! Whatever works with kubectl must work here, so this follows client-go's `tools/clientcmd` in version 0.37. kube's own
//! reading differs in many cases, so kube gets only the result: a finished [`kube::Config`].

mod connection;
pub(super) mod entries;
mod error;
mod file;
mod flaw;
mod oidc;
mod overrides;

use std::{env, path::PathBuf};

use hyper::http::{HeaderName, HeaderValue};

pub(crate) use self::error::Error;
use self::{
    entries::{Cluster, Context, Kubeconfig, User},
    flaw::Flaw,
};
use super::{api_server::ApiServer, exec_credential::Manners};
use crate::{
    args::{ImpersonationArgs, KubeArgs},
    impersonation::Impersonation,
};

/// kubectl takes the server from this variable if the kubeconfig names none.
const DEFAULT_SERVER: &str = "KUBERNETES_MASTER";

/// The entries of the kubeconfig that the flags and the current context choose.
pub(super) struct Choice {
    context_name: String,
    context: Context,
    cluster_name: String,
    cluster: Cluster,
    user_name: String,
    user: User,
    /// The identity that the flags choose, if they choose one.
    impersonation: Option<Impersonation>,
}

/// The contexts of the kubeconfig, for commands that use several.
pub(crate) struct Contexts<'a> {
    kubeconfig: Kubeconfig,
    args: &'a KubeArgs,
}

impl<'a> Contexts<'a> {
    /// Reads the kubeconfig.
    pub(crate) fn load(args: &'a KubeArgs) -> Result<Self, Error> {
        Ok(Self { kubeconfig: read(args)?, args })
    }

    /// The names of the contexts.
    pub(crate) fn names(&self) -> Vec<String> {
        self.kubeconfig.contexts.iter().map(|context| context.name.clone()).collect()
    }

    /// Chooses the entries of a context.
    pub(super) fn choose(&self, context: &str) -> Result<Choice, Error> {
        Choice::of_context(&self.kubeconfig, Some(&context.to_owned()), self.args)
    }
}

/// Reads the kubeconfig that the flags or the environment name.
fn read(args: &KubeArgs) -> Result<Kubeconfig, Error> {
    let default_server = env::var_os(DEFAULT_SERVER).is_some_and(|server| !server.is_empty());
    let has_server = default_server || args.overrides.server.is_some();
    match &args.kubeconfig {
        Some(path) => file::read(path)?.ok_or_else(|| Error::Missing { looked: vec![path.clone()] }),
        None => match merge(&default_paths()) {
            Err(Error::Missing { .. }) if has_server => Ok(Kubeconfig::default()),
            merged => merged,
        },
    }
}

impl Choice {
    /// Reads the kubeconfig and checks that it has what the flags name.
    pub(super) fn load(args: &KubeArgs) -> Result<Self, Error> {
        Self::of_context(&read(args)?, args.context.as_ref(), args)
    }

    fn of_context(kubeconfig: &Kubeconfig, context: Option<&String>, args: &KubeArgs) -> Result<Self, Error> {
        let default_server = env::var(DEFAULT_SERVER).unwrap_or_default();
        Self::choose(kubeconfig, context, args, default_server)?.with_impersonation(&args.impersonation)
    }

    /// Lets the flags replace the identity that the kubeconfig names.
    fn with_impersonation(mut self, flags: &ImpersonationArgs) -> Result<Self, Error> {
        self.impersonation = flags.resolve(self.user.impersonation());
        if let Some(impersonation) = &self.impersonation {
            self.user.impersonate(impersonation);
            check_impersonation(impersonation)?;
        }
        Ok(self)
    }

    /// Chooses the entries. As in kubectl, a user that only the context names need not exist, and neither does such a
    /// cluster if a flag names the server, or if there is a default server.
    fn choose(
        kubeconfig: &Kubeconfig,
        context: Option<&String>,
        args: &KubeArgs,
        default_server: String,
    ) -> Result<Self, Error> {
        let KubeArgs { cluster, user, overrides, .. } = args;
        let Kubeconfig { current_context, contexts, clusters, users, .. } = kubeconfig;
        let context_name = context.unwrap_or(current_context).clone();
        let known_contexts = || contexts.iter().map(|context| context.name.clone()).collect();
        let context = match contexts.iter().find(|context| context.name == context_name) {
            Some(found) => found.context.clone(),
            None if context_name.is_empty() => Context::default(),
            None => return Err(Error::NoContext { name: context_name, known: known_contexts() }),
        };

        let user_name = user.as_ref().unwrap_or(&context.user).clone();
        let known = || users.iter().map(|user| user.name.clone()).collect();
        let found = users.iter().find(|named| named.name == user_name).map(|named| named.user.clone());
        let mut chosen_user = match found {
            None if user.is_some() => return Err(Error::NoEntry { what: "user", name: user_name, known: known() }),
            found => found.unwrap_or_default(),
        };

        let name = cluster.as_ref().unwrap_or(&context.cluster).clone();
        let known = || clusters.iter().map(|cluster| cluster.name.clone()).collect();
        let found = clusters.iter().find(|named| named.name == name).map(|named| named.cluster.clone());
        let has_server = overrides.server.is_some() || !default_server.is_empty();
        let mut chosen = match found {
            Some(found) => found,
            None if cluster.is_none() && has_server => Cluster::default(),
            None if cluster.is_none() && context_name.is_empty() => {
                return Err(Error::NoCurrentContext { known: known_contexts() });
            }
            // A service account would have other rights than the identity that the user takes on.
            None if cluster.is_none() && chosen_user.impersonate.is_empty() => {
                return Err(Error::NoCluster { name, known: known(), namespace: context.namespace });
            }
            None => return Err(Error::NoEntry { what: "cluster", name, known: known() }),
        };
        if chosen.server.is_empty() {
            chosen.server = default_server;
        }
        overrides.replace_in_cluster(&mut chosen);
        overrides.replace_in_user(&mut chosen_user);
        let (cluster_name, cluster, user) = (name, chosen, chosen_user);
        Ok(Self { context_name, context, cluster_name, cluster, user_name, user, impersonation: None })
    }

    /// The name of the context.
    pub(super) fn context(&self) -> Option<&str> {
        Some(self.context_name.as_str()).filter(|name| !name.is_empty())
    }

    /// The names of the cluster and the user.
    pub(super) fn entries(&self) -> (&str, &str) {
        (&self.cluster_name, &self.user_name)
    }

    /// The identity that the flags choose, if they choose one.
    pub(super) const fn impersonation(&self) -> Option<&Impersonation> {
        self.impersonation.as_ref()
    }

    pub(super) fn namespace(&self) -> Option<String> {
        Some(self.context.namespace.clone()).filter(|namespace| !namespace.is_empty())
    }

    /// Whether the user has a credential program.
    pub(super) const fn has_program(&self) -> bool {
        self.user.exec.is_some()
    }

    /// Finds out how to reach the API server and who the user is. This runs the credential program, if there is one.
    pub(super) fn connect(&self, manners: Manners) -> Result<ApiServer, Error> {
        let Self { cluster_name, cluster, user_name, user, .. } = self;
        connection::connect((cluster_name, cluster), (user_name, user), manners)
    }
}

/// The headers with which the service account of a pod acts as the identity that the flags choose.
pub(super) fn impersonation_headers(impersonation: &Impersonation) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    check_impersonation(impersonation)?;
    let mut user = User::default();
    user.impersonate(impersonation);
    connection::impersonation_headers(&user).map_err(|source| of_user(impersonation, source))
}

fn check_impersonation(impersonation: &Impersonation) -> Result<(), Error> {
    match impersonation.user.as_str() {
        "" => Err(of_user(impersonation, Flaw::Needs("--as-group, --as-uid or --as-user-extra", "--as"))),
        _ => Ok(()),
    }
}

fn of_user(impersonation: &Impersonation, source: Flaw) -> Error {
    Error::Invalid { what: "user", name: impersonation.user.clone(), source }
}

/// The files that kubectl looks for. A list in the environment replaces the file in the home folder, even a list of
/// nothing.
fn default_paths() -> Vec<PathBuf> {
    match env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        Some(list) => env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => dirs::home_dir().map(|home| home.join(".kube").join("config")).into_iter().collect(),
    }
}

/// Merges the files that exist. kubectl also skips missing files of a list.
fn merge(paths: &[PathBuf]) -> Result<Kubeconfig, Error> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let Some(next) = file::read(path)? else { continue };
        merged = Some(match merged {
            Some(before) => before.merge(next),
            None => next,
        });
    }
    merged.ok_or_else(|| Error::Missing { looked: paths.to_vec() })
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{args::OverrideArgs, error::explain};

    const TWO: &str = "
current-context: a
contexts:
- {name: a, context: {cluster: c, user: u, namespace: shop}}
- {name: b, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: 'https://a.test'}}
users: [{name: u, user: {}}, {name: v, user: {}}]
";

    fn choose(text: &str, [context, cluster, user]: [Option<&str>; 3]) -> Result<Choice, Error> {
        let [context, cluster, user] = [context, cluster, user].map(|name| name.map(str::to_owned));
        let kubeconfig = file::parse(text, Path::new("config"))?;
        let args = KubeArgs { cluster, user, ..KubeArgs::default() };
        Choice::choose(&kubeconfig, context.as_ref(), &args, String::new())
    }

    fn of_context(text: &str, context: Option<&str>) -> Result<Choice, Error> {
        choose(text, [context, None, None])
    }

    #[test]
    fn the_namespace_is_that_of_the_context() {
        assert_eq!(of_context(TWO, None).unwrap().namespace().as_deref(), Some("shop"));
        assert_eq!(of_context(TWO, Some("b")).unwrap().namespace(), None);
    }

    #[test]
    fn the_hint_for_an_unknown_context_lists_the_known_ones() {
        let error = of_context(TWO, Some("c")).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no context \"c\"");
        assert_eq!(error.hint().unwrap(), "choose one with --context: a, b");
        assert!(matches!(of_context("{}", None), Err(Error::NoCurrentContext { .. })));
    }

    #[test]
    fn the_hint_for_an_unknown_user_or_cluster_lists_the_known_ones() {
        assert!(choose(TWO, [None, None, Some("v")]).is_ok());
        let error = choose(TWO, [None, None, Some("w")]).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no user \"w\"");
        assert_eq!(error.hint().unwrap(), "choose one with --user: u, v");
        let error = choose(TWO, [None, Some("d"), None]).err().unwrap();
        assert_eq!(error.to_string(), "the kubeconfig has no cluster \"d\"");
        let error = choose("{contexts: [{name: a}], current-context: a}", [None, Some("d"), None]).err().unwrap();
        assert_eq!(error.hint().unwrap(), "the kubeconfig has no cluster at all");
    }

    #[test]
    fn a_pod_uses_its_service_account_if_no_cluster_is_chosen() {
        let only = |context: &str| format!("{{current-context: a, contexts: [{{name: a, context: {{{context}}}}}]}}");
        let block = "current-context: a\ncontexts: [{name: a, context: {user: u}}]\n";
        let acting = format!("users: [{{name: u, user: {{as: dave}}}}]\n{block}");
        for (name, text, names, expected) in [
            ("an empty file", "{}".to_owned(), [None; 3], Some(None)),
            ("a context alone", only(""), [None; 3], Some(None)),
            ("a context with a namespace", only("namespace: shop"), [None; 3], Some(Some("shop"))),
            ("a missing cluster", only("cluster: c, namespace: shop"), [None; 3], Some(Some("shop"))),
            ("a context of the flag", only("namespace: shop"), [Some("a"), None, None], Some(Some("shop"))),
            ("a user of the flag", format!("users: [{{name: v}}]\n{block}"), [None, None, Some("v")], Some(None)),
            ("a user who is another one", acting, [None; 3], None),
            ("an unknown context", only(""), [Some("b"), None, None], None),
            ("an unknown cluster", only(""), [None, Some("c"), None], None),
            ("an unknown user", only(""), [None, None, Some("u")], None),
        ] {
            let error = choose(&text, names).err();
            let args = KubeArgs::default();
            let namespace = error.filter(|error| error.is_without_cluster(&args)).map(|error| error.namespace());
            assert_eq!(namespace.as_ref().map(Option::as_deref), expected, "{name}");
        }
        let missing = || Error::Missing { looked: Vec::new() };
        assert!(missing().is_without_cluster(&KubeArgs::default()));
        let user = KubeArgs { user: Some("u".to_owned()), ..KubeArgs::default() };
        let proxy_url = Some(crate::args::Secret("http://p".to_owned()));
        let proxy =
            KubeArgs { overrides: OverrideArgs { proxy_url, ..OverrideArgs::default() }, ..KubeArgs::default() };
        assert!([user, proxy].iter().all(|args| !missing().is_without_cluster(args)));
    }

    #[test]
    fn a_server_of_the_flag_needs_no_cluster() {
        let secret = |text: &str| Some(crate::args::Secret(text.to_owned()));
        let overrides = OverrideArgs { server: secret("b"), token: secret("t"), ..OverrideArgs::default() };
        let args = KubeArgs { overrides, ..KubeArgs::default() };
        for text in ["{}", "{current-context: a, contexts: [{name: a}]}", TWO] {
            let kubeconfig = file::parse(text, Path::new("config")).unwrap();
            let choice = Choice::choose(&kubeconfig, None, &args, "https://default".to_owned()).unwrap();
            assert_eq!((choice.cluster.server.as_str(), choice.user.token.as_str()), ("b", "t"), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_shown_without_the_secrets_around_it() {
        let path = env::temp_dir().join(format!("kubectl-replicas-kubeconfig-{}", std::process::id()));
        for wrong in ["users: [{name: u, user: s3cret}]", "users:\n- name: u\n  user:\n    token: [s3cret\n  x: {"] {
            fs::write(&path, wrong).unwrap();
            let error = Error::from(file::read(&path).err().unwrap());
            let error = crate::error::Error::from(crate::kubernetes::Error::from(error));
            let text = explain("error", &error);
            assert!(text.contains(" is wrong\n  caused by: line ") && !text.contains("s3cret"), "{text}");
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn no_secret_of_a_cluster_or_a_user_is_shown() {
        const SERVER: &str = "https://a.test";
        for (server, cluster, user) in [
            ("https://me:s3cret@a b", "", ""),
            (SERVER, "proxy-url: 'socks4://me:s3cret@b'", ""),
            (SERVER, "proxy-url: 'me:s3cret@b'", ""),
            (SERVER, "proxy-url: 'http://me:s3cret@b c'", ""),
            (SERVER, "", "token: \"s3cret\\nx\""),
            (SERVER, "", "client-certificate-data: cw==, client-key-data: s3cret"),
            (SERVER, "", "client-certificate-data: cw==, client-key-data: czNjcmV0"),
            (SERVER, "", "auth-provider: {name: gcp, config: {access-token: s3cret}}"),
        ] {
            let text = format!(
                "current-context: a\ncontexts: [{{name: a, context: {{cluster: c, user: u}}}}]\nclusters: \
                 [{{name: c, cluster: {{server: '{server}', {cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
            );
            let error = of_context(&text, None).and_then(|choice| choice.connect(Manners::Open)).err().expect(&text);
            let error = crate::error::Error::from(crate::kubernetes::Error::from(error));
            let shown = explain("error", &error);
            assert!(!shown.contains("s3cret"), "{text}: {shown}");
        }
    }

    #[test]
    fn files_that_do_not_exist_are_skipped() {
        let error = merge(&["/nonexistent/a".into(), "/nonexistent/b".into()]).err().unwrap();
        assert_eq!(error.to_string(), "there is no kubeconfig: looked for /nonexistent/a, /nonexistent/b");
    }
}
