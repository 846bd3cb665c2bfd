//! `kubectl replicas config set`.

use clap::Args;

use crate::{args::ConnectionArgs, commands::context_entry, config::Setting, error::Error, output};

/// Change a setting of this context; an empty value removes it
#[derive(Debug, Args)]
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
    let context = context_entry::edit(&connection.kube, |file, context| file.set(context, setting, value))?;
    Ok(output::print(&match value {
        "" => format!("{} of {context} unset\n", setting.name()),
        value => format!("{} of {context} set to {value}\n", setting.name()),
    })?)
}
