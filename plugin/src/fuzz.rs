//! What users write, on the command line.

use clap::Parser;
use jiff::Timestamp;

use crate::{
    args::Cli,
    target::{self, TargetRef},
    time,
};

#[test]
fn a_target_is_read_as_it_is_shown() {
    let seeds = ["web", "deploy/web", "sts/db", "rs/x", "widgets.example.com/x", "Deployments.apps/web.v1"];
    fuzz::target("targets of the command line").seeds(seeds).words(["/", ".", "-", "apps", "sts"]).text(|text| {
        match text.parse::<TargetRef>() {
            Ok(target) => {
                assert_eq!(target.to_string().parse::<TargetRef>().unwrap(), target);
                assert!(target::check_distinct(&[&target, &target]).is_err());
                true
            }
            Err(error) => {
                assert!(error.hint().is_some() && !error.to_string().is_empty());
                false
            }
        }
    });
}

#[test]
fn no_duration_makes_the_parser_panic() {
    let seeds = ["90s", "5m", "2h30m", "1d", "0", "PT1H", "1h 30m", "1.5h"];
    fuzz::target("durations").seeds(seeds).words(["d", "h", "m", "s", "ns", "P", "T", ".", "-", " ago"]).text(|text| {
        let Ok(limit) = time::parse_limit(text) else { return false };
        assert!(!limit.is_zero() && !time::limit(limit).is_empty());
        // What the flag of Set does with it.
        let _ = time::parse_duration(text).map(|it| Timestamp::now().checked_add(it));
        true
    });
}

#[test]
fn a_time_is_the_same_over_the_wire() {
    let seeds = ["2026-11-23T18:00:00Z", "2026-11-23T18:00", "2026-11-23T19:00:00.5+01:00", "-009999-01-02T00:00:00Z"];
    fuzz::target("times").seeds(seeds).words(["T", "Z", "+", "-", ":", "[Europe/Berlin]", ".999999999"]).text(|text| {
        let Ok(time) = time::parse_time(text) else { return false };
        assert_eq!(time::from_proto(&time::to_proto(time)), Some(time));
        let _ = time::distance(time, Timestamp::UNIX_EPOCH);
        true
    });
}

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
