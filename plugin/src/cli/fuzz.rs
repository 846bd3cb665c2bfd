//! The whole command line.

use clap::Parser;

use super::Cli;

#[test]
fn no_command_line_makes_the_plugin_panic() {
    let seeds = [
        "set\nweb=3\nsts/db=0\n--reason\nsale\n--until=2026-11-23T18:00:00Z",
        "set\nweb\n3\n--for=2h\n--dry-run\n-n\nshop",
        "list\n-A\n-o\nwide\n--selector=app=web",
        "get\nweb\n--output=yaml\n--request-timeout=30s\n--address=[::1]:8080",
        "unset\nsts/db\n--restore",
        "login\n--context=a",
    ];
    let words = ["\n", "--", "=", "-", "--help", "--force", "--wait", "--timeout=0"];
    fuzz::target("command line").seeds(seeds).words(words).text(|text| {
        match Cli::try_parse_from(["kubectl-replicas"].into_iter().chain(text.split('\n'))) {
            Ok(_) => true,
            Err(error) => {
                let _ = error.to_string();
                false
            }
        }
    });
}
