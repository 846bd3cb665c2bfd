//! The program `kubectl-replicas`, which kubectl runs as `kubectl replicas`.

use std::process::ExitCode;

use clap::Parser;
use kubectl_replicas::Cli;

fn main() -> ExitCode {
    kubectl_replicas::run(Cli::parse())
}
