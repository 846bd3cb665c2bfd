//! The program `kubectl-replicas`, which kubectl runs as `kubectl replicas`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    kubectl_replicas::run(env::args_os())
}
