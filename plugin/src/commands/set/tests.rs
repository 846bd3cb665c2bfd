use clap::{Parser, error::ErrorKind};
use contract::replicas::v1::ReplicaCount;

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

fn response(desired: i32, old_desired: Option<i32>) -> SetReplicaCountResponse {
    let replica_count = Some(ReplicaCount { desired: Some(desired), ..ReplicaCount::default() });
    SetReplicaCountResponse { replica_count, old_desired, ..SetReplicaCountResponse::default() }
}

#[test]
fn the_line_reads_like_one_of_kubectl() {
    let request = SetReplicaCountRequest::default();
    let line = |request: &SetReplicaCountRequest, response: &SetReplicaCountResponse| {
        line("deployment.apps/web", request, response)
    };
    assert_eq!(line(&request, &response(3, Some(2))), "deployment.apps/web set to 3 (was 2)\n");
    assert_eq!(line(&request, &response(3, None)), "deployment.apps/web set to 3 (was not managed)\n");
    let cleared = SetReplicaCountResponse { override_cleared: true, ..response(3, Some(10)) };
    assert_eq!(
        line(&request, &cleared),
        "deployment.apps/web set to 3 (was 10, from an override that is now cleared)\n"
    );
    let until = to_proto("2026-11-23T18:00:00Z".parse().unwrap());
    let request = SetReplicaCountRequest { until: Some(until), then_unset: true, dry_run: true, ..request.clone() };
    let end = local("2026-11-23T18:00:00Z".parse().unwrap());
    let expected = format!(
        "deployment.apps/web set to 9 until {end}, then unset and left at that count (was 3) (server dry run)\n"
    );
    assert_eq!(line(&request, &response(9, Some(3))), expected);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for line in ["--current web --replicas 3", "--current web --for 2h", "web 3 --for 2h --until 2026-11-23T18:00:00Z"]
    {
        assert_eq!(parse(line).unwrap_err(), ErrorKind::ArgumentConflict, "{line}");
    }
    assert_eq!(parse("web 3 --timeout 1m").unwrap_err(), ErrorKind::MissingRequiredArgument);
    assert_eq!(parse("web 3 --then-unset").unwrap_err(), ErrorKind::MissingRequiredArgument);
    assert_eq!(parse("").unwrap_err(), ErrorKind::MissingRequiredArgument);
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
fn a_set_that_changed_nothing_says_so() {
    let shown = |unchanged, dry_run| {
        let request = SetReplicaCountRequest { dry_run, ..SetReplicaCountRequest::default() };
        line("web", &request, &SetReplicaCountResponse { unchanged, ..response(3, Some(3)) })
    };
    assert_eq!(shown(true, false), "web unchanged\n");
    assert_eq!(shown(true, true), "web unchanged (server dry run)\n");
    assert_eq!(shown(false, false), "web set to 3 (was 3)\n", "the reason was changed");
}

#[test]
fn a_relative_count_starts_from_the_desired_one_and_is_guarded_by_the_observed_one() {
    struct Row {
        name: &'static str,
        desired: Option<i32>,
        observed: Option<i32>,
        expected: Option<i32>,
        result: Option<(i32, Option<i32>)>,
    }
    for Row { name, desired, observed, expected, result } in [
        Row { name: "managed", desired: Some(7), observed: Some(7), expected: None, result: Some((10, Some(7))) },
        Row { name: "drifted", desired: Some(7), observed: Some(5), expected: None, result: Some((10, Some(5))) },
        Row { name: "unmanaged", desired: None, observed: Some(5), expected: None, result: Some((8, Some(5))) },
        Row { name: "missing", desired: Some(7), observed: None, expected: None, result: Some((10, None)) },
        Row { name: "flag", desired: Some(7), observed: Some(7), expected: Some(6), result: Some((10, Some(6))) },
        Row { name: "no count", desired: None, observed: None, expected: None, result: None },
    ] {
        let request = SetReplicaCountRequest { expected_replicas: expected, ..SetReplicaCountRequest::default() };
        let resource_version = if desired.is_some() { "7" } else { "" }.to_owned();
        let before = ReplicaCount { desired, observed, resource_version, ..ReplicaCount::default() };
        let started = start_from(&before, Count::More(3), &request, "web").ok();
        let version = started.as_ref().and_then(|request| request.expected_resource_version.clone());
        assert_eq!(version, result.map(|_| before.resource_version), "{name}");
        let found = started.and_then(|request| Some((request.replicas?, request.expected_replicas)));
        assert_eq!(found, result, "{name}");
    }
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
