//! `kubectl replicas logout`.

use clap::Args;

use super::context_entry;
use crate::{args::ConnectionArgs, config::file::File, error::Error, output};

/// Remove the client certificate that login stored for this context
///
/// With --as, it removes only the one that login stored for that user.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {}

/// Logs out.
pub(crate) fn run(_args: &LogoutArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let context = context_entry::edit(&connection.kube, File::log_out)?;
    Ok(output::print(&format!("logged out of {context}\n"))?)
}
