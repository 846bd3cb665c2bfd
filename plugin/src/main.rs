//! `kubectl replicas`: sets replica counts that stay set, and shows who tried to change them.
//!
//! The plugin is a client of `replicas.v1.ReplicasService`. A command is parsed by [`args`], run by [`commands`] over
//! a connection that [`connect`] opens with what [`config`] says, and shown by [`output`]. [`error`] is the one place
//! where a failure turns into words and an exit code.

mod args;
mod commands;
mod config;
mod connect;
mod error;
#[cfg(test)]
mod fuzz;
mod output;
mod target;
mod time;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(args::Cli::parse()) {
        Ok(()) => error::Exit::Success.into(),
        Err(error) => error::report(&error).into(),
    }
}
