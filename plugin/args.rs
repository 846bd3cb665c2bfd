//! The command line: what all commands share. A command's own arguments are beside its function in `commands`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    commands::{get::GetArgs, list::ListArgs, set::SetArgs, unset::UnsetArgs, version::VersionArgs},
    config::Address,
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

/// Set replica counts that stay set, and see who tried to change them
#[derive(Debug, Parser)]
#[command(name = "kubectl-replicas", bin_name = "kubectl replicas", version, after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, propagate_version = false)]
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
    pub(crate) namespace: Option<String>,
    /// Use this kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Use this cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Use this user of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
}

/// How to reach the replica-count-manager server in the cluster, and whom to be there.
///
/// Each wins over the plugin's configuration file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Connect to this address instead of forwarding a port of a pod
    #[arg(long, global = true, value_name = "HOST:PORT", env = "KUBECTL_REPLICAS_ADDRESS")]
    pub(crate) address: Option<Address>,
    /// Trust servers whose certificate this CA signed
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// Show this client certificate
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_CERT")]
    pub(crate) cert: Option<PathBuf>,
    /// Use this key of the client certificate
    #[arg(long, global = true, value_name = "FILE", env = "KUBECTL_REPLICAS_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// Expect this name in the server's certificate
    #[arg(long, global = true, value_name = "NAME", env = "KUBECTL_REPLICAS_SERVER_NAME")]
    pub(crate) server_name: Option<String>,
    /// Look for the server's Service in this namespace
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) service_namespace: Option<String>,
    /// Use the Service of this name
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) service_name: Option<String>,
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
}
