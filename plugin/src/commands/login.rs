//! `kubectl replicas login`.

use std::time::Duration;

use clap::Args;

use crate::{
    args::ConnectionArgs,
    config,
    connect::{self, Wish},
    error::Error,
    output,
    time::{parse_duration, parse_limit},
};

/// Get a client certificate in your name, and use it from now on with this context
///
/// Makes a key, asks the cluster for a certificate of the user that the kubeconfig names, and stores both in the
/// configuration file. It is renewed by itself while you use it.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Ask for a certificate that lasts this long, such as 8h; the server has its own limit
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lifetime: Option<Duration>,
    /// Give up waiting for the certificate after this time; 0 waits without end
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_limit)]
    timeout: Duration,
}

/// Logs in.
pub(super) async fn run(args: LoginArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let wish = Wish { lifetime: args.lifetime, patience: args.timeout, is_quiet: false };
    let (context, holder) = connect::log_in(connection, wish).await?;
    output::data(&format!("logged in with {} as {} until {:.0}\n", config::named(&context), holder.user, holder.ends))
}
