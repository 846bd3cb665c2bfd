//! Times and durations, as the user writes them and as the output shows them.

use std::time::Duration;

use jiff::{SpanRelativeTo, Timestamp, civil::DateTime, tz::TimeZone};

/// Reads `90s`, `5m`, `2h30m` or `1d`. A plain 0 needs no unit, as in kubectl.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || "give a number and a unit, such as 90s, 5m, 2h30m or 1d".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| "it must not be negative".to_owned())
}

/// Reads a duration as a limit; 0 means no limit.
pub(crate) fn parse_limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text)?;
    Ok(if limit.is_zero() { Duration::MAX } else { limit })
}

/// Reads a time such as `2026-11-23T18:00:00Z`. A time without an offset is in the local time zone.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || "give a time such as 2026-11-23T18:00:00Z, or 2026-11-23T18:00 in the local time zone".to_owned();
    if let Ok(time) = text.parse() {
        return Ok(time);
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

/// A limit as error messages show it.
pub(crate) fn describe_limit(limit: Duration) -> String {
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
    fn times_are_read_with_and_without_an_offset() {
        let time = parse_time("2026-11-23T18:00:00Z").unwrap();
        assert_eq!(parse_time("2026-11-23T19:00:00+01:00"), Ok(time));
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
        assert_eq!(describe_limit(Duration::from_secs(30)), "30s");
        assert_eq!(describe_limit(Duration::MAX), "no limit");
    }
}
