//! `kubectl replicas login`.

use std::time::Duration;

use clap::Args;

use crate::{
    args::ConnectionArgs,
    config::{self, Settings},
    credentials::{LoginOptions, log_in},
    error::Error,
    interrupt,
    kubernetes::Cluster,
    output,
    program::in_text,
    time::{local, parse_lifetime, parse_limit},
};

const EXAMPLES: &str = "\
Examples:
  # Get a certificate for the user of the kubeconfig
  kubectl replicas login

  # Ask for one that lasts 8 hours; the plugin renews it for 8 hours each time
  kubectl replicas login --for 8h

  # Get one for another user, whom you may impersonate, and use it
  kubectl replicas login --as robot
  kubectl replicas list --as robot";

/// Get a client certificate in your name, and use it with this context
///
/// Creates a key, requests a certificate for the user of the kubeconfig, and stores both in the configuration file.
/// Later commands renew the certificate before it expires.
///
/// The login also remembers the server's Service and its CA, and later commands trust no other. They accept a new CA if
/// the old one has signed it. To trust another server, log out first. If others may create Services in the namespaces
/// that you can list, name the server's at the first login, with --service-namespace and --service-name.
///
/// With --as, the certificate is for that user, and commands with the same --as use it.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct LoginArgs {
    /// Ask for a certificate that lasts this long, at least 10m, such as 8h; the server has its own limit
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_lifetime, allow_hyphen_values = true)]
    lifetime: Option<Duration>,
    /// Give up waiting for the certificate after this time; 0 means no limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_limit, allow_hyphen_values = true)]
    timeout: Duration,
}

/// Logs in.
pub(crate) async fn run(args: LoginArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let cluster = Cluster::load(&connection.kube)?;
    let settings = Settings::load(cluster.context(), cluster.impersonation(), &connection.server)?;
    let options = LoginOptions { lifetime: args.lifetime, timeout: args.timeout, is_quiet: false };
    let log_in = async { Ok(log_in(&cluster, &settings, connection.request_timeout, options).await?) };
    let subject = interrupt::guard("no certificate was stored", log_in).await?;
    let context = config::describe(cluster.context().unwrap_or_default());
    let user = output::printable(&subject.user);
    Ok(output::print(&format!("logged in with {context} as {user} until {}\n", local(subject.not_after)))?)
}
