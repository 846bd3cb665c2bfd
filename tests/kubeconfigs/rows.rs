//! The rows: each a kubeconfig, its environment, and what kubectl makes of it.

mod files;
mod flags;
mod programs;
mod servers;
mod users;

use std::borrow::Cow;

/// What happens with a row.
pub(super) enum Expected {
    /// kubectl is this user.
    User(&'static str),
    /// kubectl fails.
    Refused,
    /// kubectl is this user, and the plugin fails with this message: rustls or ring cannot do it.
    Unsupported(&'static str, &'static str),
}

/// A kubeconfig with its environment.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) expected: Expected,
    /// The files in the row's folder. The kubeconfig is `config`.
    pub(super) files: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) variables: Vec<(&'static str, &'static str)>,
    pub(super) flags: Vec<&'static str>,
    /// A text that both programs show.
    pub(super) shown: &'static str,
}

/// A token of alice.
const ALICE: &str = "token: token-alice-s3cret";

/// The user of [`ALICE`].
const IS_ALICE: Expected = Expected::User("alice");

/// The address and the CA of the API server.
const API: &str = "server: '$SERVER', certificate-authority: '$CA'";

impl Row {
    /// A whole kubeconfig.
    fn new(name: &'static str, expected: Expected, config: impl Into<Cow<'static, str>>) -> Self {
        let files = vec![("config", config.into())];
        Self { name, expected, files, variables: Vec::new(), flags: Vec::new(), shown: "" }
    }

    /// The fields of a cluster and of a user.
    fn of(name: &'static str, expected: Expected, cluster: &str, user: &str) -> Self {
        Self::new(name, expected, kubeconfig(cluster, user))
    }

    /// Alice with the fields of a cluster.
    fn cluster(name: &'static str, expected: Expected, cluster: &str) -> Self {
        Self::of(name, expected, cluster, ALICE)
    }

    /// The fields of a user of the API server.
    fn user(name: &'static str, expected: Expected, user: &str) -> Self {
        Self::of(name, expected, API, user)
    }

    fn file(mut self, name: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        self.files.push((name, text.into()));
        self
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        self
    }

    fn shows(mut self, text: &'static str) -> Self {
        self.shown = text;
        self
    }
}

fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "current-context: x
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
clusters:
- name: c
  cluster: {{{cluster}}}
users:
- name: u
  user: {{{user}}}
"
    )
}

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    [
        files::contents(),
        files::lists(),
        files::choices(),
        flags::of_cluster(),
        flags::of_user(),
        users::tokens(),
        users::providers(),
        users::certificates(),
        users::impersonation(),
        servers::addresses(),
        servers::authorities(),
        servers::machines(),
        servers::proxies(),
        servers::exceptions(),
        programs::answers(),
        programs::requests(),
        programs::names(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
