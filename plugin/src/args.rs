//! The flags that all commands share.

use std::{collections::BTreeMap, convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser},
};

use crate::{address::Address, color::When, impersonation::Impersonation, program::quote, time::parse_request_limit};

/// The value of a flag or variable. An empty value counts as absent, as in kubectl: scripts write `--context
/// "$CONTEXT"`.
///
/// The alias hides the `Option` from clap, which would otherwise refuse an empty path.
pub(crate) type Given<T> = Option<T>;

/// Reads a value that is absent if it is empty.
pub(crate) fn given<T: FromStr>(text: &str) -> Result<Given<T>, T::Err> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

/// Reads a path, which need not be valid UTF-8.
fn given_path() -> impl TypedValueParser<Value = Given<PathBuf>> {
    OsStringValueParser::new().map(|text| (!text.is_empty()).then(|| PathBuf::from(text)))
}

/// The flags of the connection to the server.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// Give up on a single request after this time, such as 30s, or 30 for seconds; 0 means no limit
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = parse_request_limit)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) request_timeout: Duration,
    /// Whether the user has chosen the limit of a request.
    #[arg(skip)]
    pub(crate) has_request_timeout: bool,
    /// Show each request on stderr, from level 6 on
    #[arg(short, long = "v", global = true, value_name = "LEVEL", default_value_t = 0, hide_default_value = true)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) verbosity: i32,
    /// Use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// kubectl's own flags, with the same meaning: they choose the cluster and the namespace.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct KubeArgs {
    /// Use this namespace instead of the context's
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) namespace: Given<String>,
    /// Use this kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) kubeconfig: Given<PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, global = true, value_name = "CONTEXT")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) context: Given<String>,
    /// Use this cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) cluster: Given<String>,
    /// Use this user of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) user: Given<String>,
    #[command(flatten)]
    pub(crate) overrides: OverrideArgs,
    #[command(flatten)]
    pub(crate) impersonation: ImpersonationArgs,
}

impl KubeArgs {
    /// The given flags that choose the cluster and the user, for a shell.
    pub(crate) fn choice(&self) -> Vec<String> {
        let ImpersonationArgs { as_user, as_group, as_uid, as_user_extra } = &self.impersonation;
        let kubeconfig = self.kubeconfig.as_ref().map(|path| path.display().to_string());
        let each = |flag, values: &[String]| values.iter().map(|value| (flag, Some(value.clone()))).collect::<Vec<_>>();
        let flags = [
            ("--kubeconfig", kubeconfig),
            ("--context", self.context.clone()),
            ("--cluster", self.cluster.clone()),
            ("--user", self.user.clone()),
            ("--as", as_user.clone()),
            ("--as-uid", as_uid.clone()),
        ];
        let flags = flags.into_iter().chain(each("--as-group", as_group)).chain(each("--as-user-extra", as_user_extra));
        flags.filter_map(|(flag, value)| Some(format!("{flag}={}", quote(&value?)))).collect()
    }
}

/// kubectl's flags that replace fields of the cluster and the user of the kubeconfig.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct OverrideArgs {
    /// Reach the API server at this URL
    #[arg(short, long, global = true, value_name = "URL")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<Secret>)]
    pub(crate) server: Given<Secret>,
    /// Expect this name in the API server's certificate
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) tls_server_name: Given<String>,
    /// Skip the check of the API server's certificate; anyone on the network can then impersonate it
    #[arg(long, global = true)]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Reach the API server by this proxy
    #[arg(long, global = true, value_name = "URL")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<Secret>)]
    pub(crate) proxy_url: Given<Secret>,
    /// Log in to the API server with this bearer token
    #[arg(long, global = true, value_name = "TOKEN")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<Secret>)]
    pub(crate) token: Given<Secret>,
}

/// A token, or a URL that may hold a password. No debug output shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// kubectl's flags that make the API server take the caller for another user.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ImpersonationArgs {
    /// Act as this user; calls to the server then need a certificate of that user, which `login` gets with the same flags
    #[arg(long = "as", global = true, value_name = "USER")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) as_user: Given<String>,
    /// Act as a member of this group; may be given several times
    #[arg(long, global = true, value_name = "GROUP")]
    pub(crate) as_group: Vec<String>,
    /// Act with this UID
    #[arg(long, global = true, value_name = "UID")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) as_uid: Given<String>,
    /// Act with this extra field; may be given several times
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) as_user_extra: Vec<String>,
}

impl ImpersonationArgs {
    /// The identity that the flags choose, if they choose one. Each flag replaces the part of the kubeconfig's identity.
    pub(crate) fn resolve(&self, configured: Impersonation) -> Option<Impersonation> {
        let groups: Vec<_> = self.as_group.iter().filter(|group| !group.is_empty()).cloned().collect();
        let extra = self.extra();
        if self.as_user.is_none() && self.as_uid.is_none() && groups.is_empty() && extra.is_empty() {
            return None;
        }
        Some(Impersonation {
            user: self.as_user.clone().unwrap_or(configured.user),
            groups: if groups.is_empty() { configured.groups } else { groups },
            uid: self.as_uid.clone().unwrap_or(configured.uid),
            extra: configured.extra.into_iter().chain(extra).collect(),
        })
    }

    /// The extra fields. As in kubectl, one without a value is skipped.
    fn extra(&self) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in self.as_user_extra.iter().filter_map(|field| field.split_once('=')) {
            extra.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        extra
    }
}

/// How to reach the server, and which client certificate to use. These override the plugin's configuration file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Connect to this address instead of forwarding a port of a pod
    #[arg(long, global = true, value_name = "HOST:PORT", env = "KUBECTL_REPLICAS_ADDRESS")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<Address>)]
    pub(crate) address: Given<Address>,
    /// Trust servers whose certificate this CA signed
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_CA")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) ca: Given<PathBuf>,
    /// Present this client certificate to the server
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_CERT")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) cert: Given<PathBuf>,
    /// Use this private key of the client certificate
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_KEY")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) key: Given<PathBuf>,
    /// Expect this name in the server's certificate
    #[arg(long, global = true, value_name = "NAME", env = "KUBECTL_REPLICAS_SERVER_NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) server_name: Given<String>,
    /// Look for the server's Service in this namespace
    #[arg(long, global = true, value_name = "NAMESPACE")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) service_namespace: Given<String>,
    /// Use the server's Service with this name
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) service_name: Given<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_fields_replace_those_of_the_kubeconfig_with_the_same_key() {
        let fields = |fields: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
            let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
            fields.iter().map(|(key, values)| ((*key).to_owned(), owned(values))).collect()
        };
        let configured: &[(&str, &[&str])] = &[("x", &["z"])];
        for (name, flags, expected) in [
            ("none", vec![], None),
            ("no value", vec!["x"], None),
            ("another key", vec!["a=b"], Some(fields(&[("a", &["b"]), ("x", &["z"])]))),
            ("the same key", vec!["x=b"], Some(fields(&[("x", &["b"])]))),
            ("several values", vec!["x=b", "x=c=d", "x"], Some(fields(&[("x", &["b", "c=d"])]))),
        ] {
            let as_user_extra = flags.into_iter().map(str::to_owned).collect();
            let flags = ImpersonationArgs { as_user_extra, ..ImpersonationArgs::default() };
            let identity = Impersonation { extra: fields(configured), ..Impersonation::default() };
            assert_eq!(flags.resolve(identity).map(|identity| identity.extra), expected, "{name}");
        }
    }

    #[test]
    fn the_flags_that_choose_the_cluster_and_the_user_are_known() {
        let args = KubeArgs {
            namespace: Some("shop".to_owned()),
            context: Some("my prod".to_owned()),
            impersonation: ImpersonationArgs {
                as_user: Some("robot".to_owned()),
                as_group: vec!["a".to_owned(), "b".to_owned()],
                ..ImpersonationArgs::default()
            },
            ..KubeArgs::default()
        };
        assert_eq!(args.choice(), ["--context='my prod'", "--as=robot", "--as-group=a", "--as-group=b"]);
        assert!(KubeArgs::default().choice().is_empty());
    }

    #[test]
    fn no_debug_output_shows_a_token() {
        let secret = Some(Secret("s3cret".to_owned()));
        let overrides = OverrideArgs {
            server: secret.clone(),
            proxy_url: secret.clone(),
            token: secret,
            ..OverrideArgs::default()
        };
        assert!(!format!("{overrides:?}").contains("s3cret"));
    }
}
