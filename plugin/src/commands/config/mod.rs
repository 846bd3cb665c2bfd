//! `kubectl replicas config`, and its commands.

mod export;
mod import;
mod path;
mod set;
mod unset;
mod view;

use clap::{Args, Subcommand};

use self::{export::ExportArgs, import::ImportArgs, path::PathArgs, set::SetArgs, unset::UnsetArgs, view::ViewArgs};
use crate::{args::ConnectionArgs, error::Error};

/// Show or change the configuration of this program
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    View(ViewArgs),
    Path(PathArgs),
    Import(ImportArgs),
    Export(ExportArgs),
    Set(SetArgs),
    Unset(UnsetArgs),
}

/// Runs one of its commands.
pub(crate) async fn run(args: ConfigArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    match args.command {
        Command::View(args) => view::run(&args),
        Command::Path(args) => path::run(&args),
        Command::Import(args) => import::run(args, connection).await,
        Command::Export(args) => export::run(args, connection).await,
        Command::Set(args) => set::run(&args, connection),
        Command::Unset(args) => unset::run(&args, connection),
    }
}
