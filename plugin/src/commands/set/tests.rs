use clap::{Parser, error::ErrorKind};

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: SetArgs,
}

fn parse(line: &str) -> Result<SetArgs, ErrorKind> {
    let words = std::iter::once("set").chain(line.split_whitespace());
    Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.kind())
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for line in ["--current web --replicas 3", "--current web --for 2h", "web 3 --for 2h --until 2026-11-23T18:00:00Z"]
    {
        assert_eq!(parse(line).unwrap_err(), ErrorKind::ArgumentConflict, "{line}");
    }
    for line in
        ["web -f x.yaml", "-f x.yaml --replicas 3", "-f x.yaml --reason x", "-f x.yaml --all", "-f x.yaml --for 2h"]
    {
        assert_eq!(parse(line).unwrap_err(), ErrorKind::ArgumentConflict, "{line}");
    }
    for line in ["--all --replicas 3", "sts -A --current", "-l app=web --replicas 0", "-f -"] {
        assert!(parse(line).is_ok(), "{line}");
    }
    assert_eq!(parse("web 3 --timeout 1m").unwrap_err(), ErrorKind::MissingRequiredArgument);
    assert_eq!(parse("web 3 --then-unset").unwrap_err(), ErrorKind::MissingRequiredArgument);
    assert_eq!(parse("--replicas -1 web").unwrap_err(), ErrorKind::ValueValidation);
}

#[test]
fn a_negative_count_reaches_the_parser_of_counts() {
    assert_eq!(parse("web -1").unwrap().words, ["web", "-1"]);
}

#[test]
fn the_count_ends_after_a_time_or_at_one() {
    let now: Timestamp = "2026-11-23T16:00:00Z".parse().unwrap();
    let end = |line| parse(line).unwrap().end(now).map(|end| end.to_string());
    assert_eq!(end("web 3"), None);
    assert_eq!(end("web 3 --for 2h").as_deref(), Some("2026-11-23T18:00:00Z"));
    assert_eq!(end("web 3 --until 2026-11-23T18:00:00Z").as_deref(), Some("2026-11-23T18:00:00Z"));
}

#[test]
fn the_flags_that_take_a_duration_are_named_in_its_error() {
    let error = |line: &str| {
        let words = std::iter::once("set").chain(line.split_whitespace());
        Command::try_parse_from(words).unwrap_err().to_string()
    };
    for (line, part) in [
        ("web 3 --for -1h", "'--for <DURATION>': it must not be negative"),
        ("web 3 --for 0", "'--for <DURATION>': it must be at least 60s"),
        ("web 3 --wait --timeout -1s", "'--timeout <DURATION>': it must not be negative"),
        ("web 3 --current-replicas -1", "'--current-replicas <COUNT>'"),
    ] {
        assert!(error(line).contains(part), "{line}: {}", error(line));
    }
}
