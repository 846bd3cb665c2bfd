//! `kubectl replicas config`.

use clap::{Args, Subcommand};

use crate::{
    config::{self, file},
    error::Error,
    output::{self, DocumentFormat},
};

/// Show the configuration of this program
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show what is configured for each context, without certificates and keys
    View,
    /// Show where the configuration file is
    Path,
}

/// Shows it.
pub(super) fn run(args: &ConfigArgs) -> Result<(), Error> {
    let path = config::path().ok_or(config::Error::NoPlace)?;
    output::data(&match args.command {
        ConfigCommand::View => output::serialize(&file::load(&path)?.view()?, DocumentFormat::Yaml)?,
        ConfigCommand::Path => format!("{}\n", path.display()),
    })
}
