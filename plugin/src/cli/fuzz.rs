//! The whole command line.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::Cli;
use crate::flags;

#[test]
fn no_command_line_makes_the_plugin_panic() {
    let seeds = [
        "set\nweb=3\nsts/db=0\n--reason\nsale\n--until=2026-11-23T18:00:00Z",
        "set\nweb\n3\n--for=2h\n--dry-run\n-n\nshop",
        "list\n-A\n-o\nwide\n--selector=app=web",
        "get\nweb\n--output=yaml\n--request-timeout=30s\n--address=[::1]:8080",
        "unset\nsts/db\n--restore",
        "login\n--context=a",
        "list\n-Aw=false\n--all-targets=true",
    ];
    let words = ["\n", "--", "=", "-", "--help", "--force", "--wait", "--timeout=0"];
    let program = Cli::command();
    fuzz::target("command line").seeds(seeds).words(words).text(|text| {
        let words: Vec<_> = ["kubectl-replicas"].into_iter().chain(text.split('\n')).map(OsString::from).collect();
        match flags::settle(&program, &words).and_then(Cli::try_parse_from) {
            Ok(_) => true,
            Err(error) => {
                let _ = error.to_string();
                false
            }
        }
    });
}
