//! Durations and times of the command line.

use jiff::Timestamp;

use super::{describe_limit, distance, from_proto, parse_duration, parse_limit, parse_time, to_proto};

#[test]
fn no_duration_makes_the_parser_panic() {
    let seeds = ["90s", "5m", "2h30m", "1d", "0", "PT1H", "1h 30m", "1.5h"];
    fuzz::target("durations").seeds(seeds).words(["d", "h", "m", "s", "ns", "P", "T", ".", "-", " ago"]).text(|text| {
        let Ok(limit) = parse_limit(text) else { return false };
        assert!(!limit.is_zero() && !describe_limit(limit).is_empty());
        // `set --for` adds it to the present.
        let _ = parse_duration(text).map(|it| Timestamp::now().checked_add(it));
        true
    });
}

#[test]
fn a_time_is_the_same_over_the_wire() {
    let seeds = ["2026-11-23T18:00:00Z", "2026-11-23T18:00", "2026-11-23T19:00:00.5+01:00", "-009999-01-02T00:00:00Z"];
    fuzz::target("times").seeds(seeds).words(["T", "Z", "+", "-", ":", "[Europe/Berlin]", ".999999999"]).text(|text| {
        let Ok(time) = parse_time(text) else { return false };
        assert_eq!(from_proto(&to_proto(time)), Some(time));
        let _ = distance(time, Timestamp::UNIX_EPOCH);
        true
    });
}
