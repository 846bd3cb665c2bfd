//! `kubectl replicas config set`.

use clap::Args;

use crate::{args::ConnectionArgs, commands::context_entry, config::Setting, error::Error, output, program::in_text};

const EXAMPLES: &str = "\
Examples:
  # Connect to an address instead of forwarding a port of a pod
  kubectl replicas config set address replicas.example.com:8080

  # Forward a port of a pod again
  kubectl replicas config unset address";

/// Change a setting of this context; an empty value removes it
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(super) struct SetArgs {
    /// The setting, by its name in the configuration file
    #[arg(value_name = "KEY")]
    setting: Setting,
    /// Its new value; paths may be relative to the current folder
    value: String,
}

/// Changes the setting.
pub(super) fn run(args: &SetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    change(args.setting, &args.value, connection)
}

/// Changes a setting. An empty value removes it.
pub(super) fn change(setting: Setting, value: &str, connection: &ConnectionArgs) -> Result<(), Error> {
    let context = context_entry::edit(&connection.kube, |file, context, _| file.set(context, setting, value))?;
    Ok(output::print(&match value {
        "" => format!("{} of {context} unset\n", setting.name()),
        value => format!("{} of {context} set to {value}\n", setting.name()),
    })?)
}
