//! The commands, one a file: its arguments, and the function that runs it.

pub(crate) mod assignment;
mod batch;
pub(crate) mod config;
pub(crate) mod dry_run;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod set;
pub(crate) mod unset;
pub(crate) mod version;
mod wait;
pub(crate) mod whoami;

use tokio::runtime::Builder;

use crate::{
    args::{Cli, Command, ConnectionArgs},
    error::Error,
};

/// Runs a command. A runtime is built only for those that talk to somebody: it is most of the start-up time.
pub(crate) fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Version(args) if args.client => version::run_client(&args),
        Command::Logout(args) => logout::run(&args, &cli.connection),
        command => {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
            let result = runtime.block_on(run_connected(command, &cli.connection));
            // A name look-up that is stuck in the system must not hold up the end.
            runtime.shutdown_background();
            result
        }
    }
}

async fn run_connected(command: Command, connection: &ConnectionArgs) -> Result<(), Error> {
    match command {
        Command::List(args) => list::run(args, connection).await,
        Command::Get(args) => get::run(args, connection).await,
        Command::Set(args) => set::run(args, connection).await,
        Command::Unset(args) => unset::run(args, connection).await,
        Command::Login(args) => login::run(args, connection).await,
        Command::Logout(args) => logout::run(&args, connection),
        Command::Config(args) => config::run(args, connection).await,
        Command::Whoami(args) => whoami::run(args, connection).await,
        Command::Version(args) => version::run(&args, connection).await,
    }
}
