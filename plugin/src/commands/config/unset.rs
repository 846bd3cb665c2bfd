//! `kubectl replicas config unset`.

use clap::Args;

use super::set;
use crate::{args::ConnectionArgs, config::Setting, error::Error};

/// Remove a setting of this context
#[derive(Debug, Args)]
pub(super) struct UnsetArgs {
    /// The setting, by its name in the configuration file
    #[arg(value_name = "KEY")]
    setting: Setting,
}

/// Removes the setting.
pub(super) fn run(args: &UnsetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    set::change(args.setting, "", connection)
}
