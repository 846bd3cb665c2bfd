//! `kubectl replicas`: sets replica counts that stay set, and shows who tried to change them.
//!
//! The plugin is a client of `replicas.v1.ReplicasService`. This library is the whole program. Its [`command`]
//! describes the command line, so that help, man pages and completion can be generated from it.
//!
//! # Layout
//!
//! A module uses only modules further down in this list.
//!
//! * `cli`: the command line, and the runtime that its commands run in
//! * `completion`: completion of a command line in a shell
//! * `help`: the order of the help
//! * `commands`: the commands, one in each file, with the arguments of each
//! * `interrupt`: Ctrl-C
//! * `error`: the program's error, with exit codes and hints; `usage_error`: clap's errors in the same style
//! * `refusal`: the server's refusals, in the words of the command line
//! * `credentials`: client certificates: login, import, renewal
//! * `session`: the connection to the server: port-forward or address, TLS, gRPC
//! * `kubernetes`: the API server: kubeconfig, client, the server's Service and pods
//! * `config`: the configuration file, and the flags that override it
//! * `args`: the flags that all commands share; `flags`: boolean flags with a value
//! * `trace`: requests on stderr, for `-v=6`
//! * `output`: tables, descriptions, JSON and YAML
//! * `operations`: the log of the user's own operations, and what takes one back
//! * `terminal`: text of others, made safe for a terminal; `color`: colours
//! * `assignment`, `words`, `count`, `target`, `context_pattern`, `address`, `impersonation`, `time`, `dns`, `yaml`: the
//!   values that users write, and how the output shows them
//! * `manifests`: ReplicaCounts in files; `spec`: what a ReplicaCount holds
//! * `certificate`: the issuer and the end of a client certificate
//! * `completer`: the file with which kubectl finds the completion
//! * `private_file`: files that only the user can read
//! * `program`: the name under which the user runs this program, and the commands in its hints

mod address;
mod args;
mod assignment;
mod certificate;
mod cli;
mod color;
mod commands;
mod completer;
mod completion;
mod config;
mod context_pattern;
mod count;
mod credentials;
mod dns;
mod error;
mod flags;
mod help;
mod impersonation;
mod interrupt;
mod kubernetes;
mod manifests;
mod operations;
mod output;
mod private_file;
mod program;
mod refusal;
mod session;
mod spec;
mod target;
mod terminal;
mod time;
mod trace;
mod usage_error;
mod words;
mod yaml;

pub use self::cli::{Cli, EXIT_CODES, command, run};
