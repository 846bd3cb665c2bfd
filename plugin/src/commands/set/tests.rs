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
    SetReplicaCountResponse { replica_count, old_desired, override_cleared: false, warnings: Vec::new() }
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
    assert_eq!(line(&request, &cleared), "deployment.apps/web set to 3 (was 10, by an override that ends now)\n");
    let until = to_proto("2026-11-23T18:00:00Z".parse().unwrap());
    let request = SetReplicaCountRequest { until: Some(until), then_unset: true, dry_run: true, ..request.clone() };
    let expected = "deployment.apps/web set to 9 until 2026-11-23T18:00:00Z, then unset and left at that count (was 3) (server dry run)\n";
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
