//! The command line: what all commands share. A command's own arguments are beside its function in `commands`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{
    Args, Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
};

use crate::{
    commands::{
        config::ConfigArgs, get::GetArgs, list::ListArgs, login::LoginArgs, logout::LogoutArgs, set::SetArgs,
        unset::UnsetArgs, version::VersionArgs, whoami::WhoamiArgs,
    },
    config::{self, Address},
    time::parse_limit,
};

const EXAMPLES: &str = "\
Examples:
  # Hold the Deployment web at 3 replicas, whoever else writes its count
  kubectl replicas set web 3

  # Show what is managed in all namespaces, and who tried to change it
  kubectl replicas list -A -o wide

  # Stop managing a StatefulSet
  kubectl replicas unset sts/db

Exit codes:
  0  all is done
  1  the server refused, or not everything could be done
  2  the command line is wrong
  3  there is no connection: configuration, cluster, certificates or network";

/// What the help of the whole program ends with; the path is the one on this machine.
fn after_help() -> String {
    let path = config::default_path().map(|path| path.display().to_string());
    format!(
        "{EXAMPLES}\n\nConfiguration:\n  File:  {}\n         or the one that {} names\n\n  It says for each context how \
         to reach the server; flags and environment win over it:\n{}",
        path.as_deref().unwrap_or("none on this machine,"),
        config::PATH_VARIABLE,
        config::example("my-context")
    )
}

/// The value of a flag or variable; an empty one is none, as in kubectl: scripts write `--context "$CONTEXT"`.
///
/// It is an alias, since clap would take a bare `Option` for a flag that may be absent, and then refuse an empty path.
pub(crate) type Given<T> = Option<T>;

fn given<T: FromStr>(text: &str) -> Result<Given<T>, T::Err> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

/// Reads a path, which need not be UTF-8.
fn given_path() -> impl TypedValueParser<Value = Given<PathBuf>> {
    OsStringValueParser::new().map(|text| (!text.is_empty()).then(|| PathBuf::from(text)))
}

/// Set replica counts that stay set, and see who tried to change them
#[derive(Debug, Parser)]
#[command(name = "kubectl-replicas", bin_name = "kubectl replicas", version, after_help = after_help(), propagate_version = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(ListArgs),
    Get(GetArgs),
    Set(SetArgs),
    Unset(UnsetArgs),
    Login(LoginArgs),
    Logout(LogoutArgs),
    Whoami(WhoamiArgs),
    Config(ConfigArgs),
    Version(VersionArgs),
}

/// How to reach the server; every command takes these.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Give up on a single request after this time, such as 30s; 0 waits without end
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = parse_limit)]
    pub(crate) request_timeout: Duration,
}

/// kubectl's own flags: they choose the cluster and the namespace, and mean what they mean in kubectl.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct KubeArgs {
    /// Use this namespace instead of the context's
    #[arg(short, long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) namespace: Given<String>,
    /// Use this kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) kubeconfig: Given<PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
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
}

/// How to reach the replica-count-manager server in the cluster, and whom to be there.
///
/// Each wins over the plugin's configuration file.
#[derive(Debug, Default, Args)]
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
    /// Show this client certificate
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_CERT")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) cert: Given<PathBuf>,
    /// Use this key of the client certificate
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_KEY")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given_path())]
    pub(crate) key: Given<PathBuf>,
    /// Expect this name in the server's certificate
    #[arg(long, global = true, value_name = "NAME", env = "KUBECTL_REPLICAS_SERVER_NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) server_name: Given<String>,
    /// Look for the server's Service in this namespace
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) service_namespace: Given<String>,
    /// Use the Service of this name
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(default_value = "", hide_default_value = true, value_parser = given::<String>)]
    pub(crate) service_name: Given<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn connection_flags_are_accepted_after_the_command() {
        let cli = Cli::try_parse_from(["kubectl-replicas", "list", "-n", "shop", "--request-timeout", "0"]).unwrap();
        assert_eq!(cli.connection.kube.namespace.as_deref(), Some("shop"));
        assert_eq!(cli.connection.request_timeout, Duration::MAX);
    }

    #[test]
    fn an_empty_flag_is_no_flag() {
        let flags = ["-n", "--kubeconfig", "--context", "--cluster", "--user", "--address", "--ca", "--server-name"];
        let words = flags.iter().flat_map(|flag| [*flag, ""]);
        let ConnectionArgs { kube, server, .. } =
            Cli::try_parse_from(["kubectl-replicas", "list"].into_iter().chain(words)).unwrap().connection;
        assert_eq!((kube.namespace, kube.context, kube.cluster, kube.user), (None, None, None, None));
        assert_eq!((kube.kubeconfig, server.address, server.ca, server.server_name), (None, None, None, None));
    }

    #[test]
    fn a_flag_counts_before_and_after_the_command() {
        for words in [["--ca", "ca.crt", "list"], ["list", "--ca", "ca.crt"]] {
            let cli = Cli::try_parse_from(std::iter::once("kubectl-replicas").chain(words)).unwrap();
            assert_eq!(cli.connection.server.ca, Some("ca.crt".into()));
        }
    }

    #[test]
    fn the_help_says_where_the_configuration_is() {
        let help = Cli::command().render_long_help().to_string();
        for part in ["KUBECTL_REPLICAS_CONFIG", "config.yaml", "flags and environment win", "my-context:"] {
            assert!(help.contains(part), "{part:?} is missing in {help}");
        }
    }
}
