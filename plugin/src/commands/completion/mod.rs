//! `kubectl replicas completion`, and its commands.

mod install;
mod script;

use clap::{Args, Subcommand};

use self::{install::InstallArgs, script::Shell};
use crate::{
    error::Error,
    output,
    program::{self, in_text},
};

const EXAMPLES: &str = "\
Examples:
  # Complete `kubectl replicas` wherever kubectl itself is completed
  kubectl replicas completion install

  # Let bash complete kubectl itself, if it does not yet
  source <(kubectl completion bash)

  # Let a shell complete the program when it runs without kubectl: bash, zsh, fish, PowerShell
  source <(kubectl-replicas completion bash)
  source <(kubectl-replicas completion zsh)
  kubectl-replicas completion fish | source
  kubectl-replicas completion powershell | Out-String | Invoke-Expression";

/// The program in the examples.
const FILE_NAME: &str = "kubectl-replicas";

/// Set up completion in a shell: commands, flags, and targets with their counts
///
/// In every shell that completes kubectl, kubectl completes its plugins, too. For that it needs another file on the PATH,
/// which `install` creates. The scripts for shells are only for running the plugin's program without kubectl.
///
/// A completion that takes longer than a second shows nothing. It renews no certificate, and shows at most the first 1000
/// targets of a namespace.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES).replace(FILE_NAME, &program::file_name()))]
pub(crate) struct CompletionArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(InstallArgs),
    /// Print a script for bash
    Bash,
    /// Print a script for zsh
    Zsh,
    /// Print a script for fish
    Fish,
    /// Print a script for PowerShell
    Powershell,
}

/// Runs one of its commands.
pub(crate) fn run(args: &CompletionArgs) -> Result<(), Error> {
    let shell = match &args.command {
        Command::Install(args) => return install::run(args),
        Command::Bash => Shell::Bash,
        Command::Zsh => Shell::Zsh,
        Command::Fish => Shell::Fish,
        Command::Powershell => Shell::Powershell,
    };
    Ok(output::print_document(&shell.script(&program::file_name()))?)
}
