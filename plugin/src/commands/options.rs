//! `kubectl replicas options`.

use clap::{Args, Command};

use crate::{args::ConnectionArgs, error::Error, output};

/// List the flags that all commands share
#[derive(Debug, Args)]
pub(crate) struct OptionsArgs {}

/// Lists the flags.
pub(crate) fn run() -> Result<(), Error> {
    let flags = ConnectionArgs::augment_args(Command::new("options")).disable_help_flag(true);
    let mut flags = flags.help_template("The following flags can be passed to any command.\n\n{all-args}\n");
    Ok(output::print_help(&flags.render_help(), false)?)
}
