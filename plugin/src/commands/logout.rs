//! `kubectl replicas logout`.

use clap::Args;

use crate::{args::ConnectionArgs, config, connect, error::Error, output};

/// Forget the client certificate that login has stored for this context
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {}

/// Logs out.
pub(super) fn run(_args: &LogoutArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let context = connect::log_out(connection)?;
    output::data(&format!("logged out of {}\n", config::named(&context)))
}
