//! Times and durations, as the user writes them and as the output shows them.

use std::time::Duration;

use jiff::{SpanRelativeTo, Timestamp, Zoned, civil::DateTime, tz::TimeZone};

const UNIT: &str = "give a number and a unit, such as 90s, 5m, 2h30m or 1d";

/// Reads `90s`, `5m`, `2h30m` or `1d`. A plain 0 needs no unit, as in kubectl.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || UNIT.to_owned();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| "it must not be negative".to_owned())
}

/// Reads a duration as a limit; 0 means no limit.
pub(crate) fn parse_limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text)?;
    Ok(if limit.is_zero() { Duration::MAX } else { limit })
}

/// Reads the limit of a request. A number without a unit is in seconds, as in kubectl.
pub(crate) fn parse_request_limit(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(0) | Err(_) => parse_limit(text),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
    }
}

/// The shortest override. A shorter one is a typing error: its pods would end before they are ready.
const MIN_OVERRIDE: Duration = Duration::from_secs(60);

/// Reads how long an override lasts.
pub(crate) fn parse_override(text: &str) -> Result<Duration, String> {
    at_least(MIN_OVERRIDE, text)
}

/// The shortest lifetime of a certificate that Kubernetes accepts in a CertificateSigningRequest.
const MIN_CERTIFICATE: Duration = Duration::from_secs(600);

/// Reads how long a certificate lasts.
pub(crate) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    at_least(MIN_CERTIFICATE, text)
}

fn at_least(least: Duration, text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        duration if duration < least => Err(format!("it must be at least {}", describe_limit(least))),
        duration => Ok(duration),
    }
}

/// Reads a time such as `2026-11-23T18:00:00Z` or `2026-11-23T18:00[Europe/Berlin]`. A time without an offset and a time
/// zone is in the local one.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || "give a time such as 2026-11-23T18:00:00Z, or 2026-11-23T18:00 in the local time zone".to_owned();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // `DateTime` ignores a time zone.
    if text.contains('[') {
        return text.parse::<Zoned>().map(|time| time.timestamp()).map_err(|_| wrong());
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    Ok(local.to_zoned(TimeZone::system()).map_err(|_| wrong())?.timestamp())
}

/// Converts a protobuf timestamp, unless it is out of range.
pub(crate) fn from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// Converts a time to a protobuf timestamp.
pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// The distance of two times, as kubectl shows ages: `12s`, `5m30s`, `3h`, `8d`.
pub(crate) fn distance(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).unsigned_abs().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |large: u64, unit: char, small: u64, rest: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{rest}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

/// A time in the time zone of this machine, in the form that `--until` accepts.
pub(crate) fn local(time: Timestamp) -> String {
    in_zone(time, TimeZone::system())
}

fn in_zone(time: Timestamp, zone: TimeZone) -> String {
    let local = time.to_zoned(zone);
    match local.offset().is_zero() {
        true => format!("{time:.0}"),
        false => local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}

/// A time in the time zone of this machine, to the minute, for tables.
pub(crate) fn local_minute(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// A limit as error messages show it.
pub(crate) fn describe_limit(limit: Duration) -> String {
    // Whole seconds are enough for longer limits.
    if limit < Duration::from_secs(120) {
        return format!("{limit:?}");
    }
    let end = i64::try_from(limit.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    end.map_or_else(|| "no limit".to_owned(), |end| distance(Timestamp::UNIX_EPOCH, end))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubectl_does() {
        let table = [("90s", 90), ("5m", 300), ("2h30m", 9000), ("1d", 86_400), ("0", 0)];
        for (text, seconds) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "2", "-5m", "-5", "1month", "soon"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_limit("0"), Ok(Duration::MAX));
    }

    #[test]
    fn each_flag_has_its_shortest_duration() {
        struct Row {
            name: &'static str,
            parse: fn(&str) -> Result<Duration, String>,
            text: &'static str,
            result: Result<u64, &'static str>,
        }
        let row = |name, parse, text, result| Row { name, parse, text, result };
        for Row { name, parse, text, result } in [
            row("--for", parse_override as fn(&str) -> _, "1m", Ok(60)),
            row("--for", parse_override, "0", Err("it must be at least 60s")),
            row("--for", parse_override, "59s", Err("it must be at least 60s")),
            row("--for", parse_override, "-1h", Err("it must not be negative")),
            row("login --for", parse_lifetime, "10m", Ok(600)),
            row("login --for", parse_lifetime, "0", Err("it must be at least 10m")),
            row("--request-timeout", parse_request_limit, "30", Ok(30)),
            row("--request-timeout", parse_request_limit, "1m", Ok(60)),
            row("--request-timeout", parse_request_limit, "0", Ok(u64::MAX)),
            row("--request-timeout", parse_request_limit, "-1", Err(UNIT)),
            row("--timeout", parse_limit, "30", Err(UNIT)),
        ] {
            let parsed = parse(text).map(|duration| duration.as_secs());
            assert_eq!(parsed, result.map_err(str::to_owned), "{name} {text}");
        }
    }

    #[test]
    fn times_are_shown_in_the_local_zone() {
        let time: Timestamp = "2026-11-23T18:00:00.4Z".parse().unwrap();
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let shown = in_zone(time, berlin);
        assert_eq!(shown, "2026-11-23T19:00:00+01:00");
        assert_eq!(parse_time(&shown).unwrap().as_second(), time.as_second(), "--until accepts it");
        assert_eq!(in_zone(time, TimeZone::UTC), "2026-11-23T18:00:00Z");
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        let time = parse_time("2026-11-23T18:00:00Z").unwrap();
        assert_eq!(parse_time("2026-11-23T19:00:00+01:00"), Ok(time));
        assert_eq!(parse_time("2026-11-23T19:00:00+01:00[Europe/Berlin]"), Ok(time));
        assert_eq!(parse_time("2026-11-23T18:00[UTC]"), Ok(time));
        assert_eq!(parse_time("2026-11-23T19:00[+01:00]"), Ok(time), "not in the local time zone");
        assert!(parse_time("2026-11-23T18:00[Nowhere/City]").is_err());
        assert!(parse_time("2026-11-23T18:00").is_ok());
        assert!(parse_time("tomorrow").is_err());
        assert_eq!(from_proto(&to_proto(time)), Some(time));
    }

    #[test]
    fn distances_lose_detail_as_they_grow() {
        let table = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (601, "10m"),
            (10_860, "3h1m"),
            (100_000, "27h"),
            (180_000, "2d2h"),
            (700_000, "8d"),
        ];
        for (seconds, text) in table {
            let end = Timestamp::from_second(seconds).unwrap();
            assert_eq!(distance(Timestamp::UNIX_EPOCH, end), text);
            assert_eq!(distance(end, Timestamp::UNIX_EPOCH), text, "in the future");
        }
    }

    #[test]
    fn no_limit_has_a_name() {
        for (limit, text) in [(200, "200ms"), (1, "1ms"), (1500, "1.5s"), (30_000, "30s"), (300_000, "5m")] {
            assert_eq!(describe_limit(Duration::from_millis(limit)), text);
        }
        assert_eq!(describe_limit(Duration::MAX), "no limit");
    }
}
