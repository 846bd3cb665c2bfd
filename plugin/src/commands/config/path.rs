//! `kubectl replicas config path`.

use clap::Args;

use crate::{config, error::Error, output};

/// Show the path of the configuration file
#[derive(Debug, Args)]
pub(super) struct PathArgs {}

/// Shows the path.
pub(super) fn run(_args: &PathArgs) -> Result<(), Error> {
    let path = config::path().ok_or(config::Error::NoPath)?;
    Ok(output::print(&format!("{}\n", path.display()))?)
}
