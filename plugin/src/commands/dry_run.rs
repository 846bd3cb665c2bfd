//! The flag `--dry-run` of `set` and `unset`.

use clap::{ArgAction, Args};

/// The flag `--dry-run`, with kubectl's modes.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DryRunArgs {
    /// Show what would change, and change nothing; MODE is server, the default, or none, which is no dry run
    #[arg(long, value_name = "MODE", action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "server", default_value = "none", hide_default_value = true, value_parser = parse)]
    pub(super) dry_run: bool,
}

fn parse(mode: &str) -> Result<bool, &'static str> {
    match mode {
        "server" => Ok(true),
        "none" => Ok(false),
        "client" => Err("only the server can check, so use --dry-run=server"),
        _ => Err("the modes are server and none"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: DryRunArgs,
        words: Vec<String>,
    }

    fn parse(line: &str) -> Result<bool, String> {
        let words = std::iter::once("set").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args.dry_run).map_err(|error| error.to_string())
    }

    #[test]
    fn the_modes_are_those_of_kubectl() {
        let table = [
            ("", false),
            ("--dry-run", true),
            ("--dry-run web 3", true),
            ("--dry-run=server", true),
            ("--dry-run=none", false),
        ];
        for (line, expected) in table {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn the_refusal_of_another_mode_names_the_modes() {
        assert!(parse("--dry-run=client").unwrap_err().contains("use --dry-run=server"));
        assert!(parse("--dry-run=yes").unwrap_err().contains("the modes are server and none"));
    }
}
