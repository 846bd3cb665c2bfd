//! The deadline that a caller sets with `grpc-timeout`.

use std::time::Duration;

use hyper::HeaderMap;

/// How much earlier a call ends than by tonic's own timer, which starts a moment before and answers CANCELLED without a
/// reason. Tokio's timers count milliseconds.
const EARLIER: Duration = Duration::from_millis(2);

/// When to end a call, from now; `None` if its caller sets no deadline. gRPC allows eight digits and a unit.
pub(super) fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(timeout.saturating_sub(EARLIER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_a_little_earlier_than_that_of_tonic() {
        for (text, expected) in [
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600) - EARLIER)),
            ("2M", Some(Duration::from_secs(120) - EARLIER)),
            ("1S", Some(Duration::from_millis(998))),
            ("100m", Some(Duration::from_millis(98))),
            ("5000u", Some(Duration::from_millis(3))),
            ("1n", Some(Duration::ZERO)),
            ("123456789S", None),
            ("-1S", None),
            ("S", None),
            ("1", None),
            ("", None),
            ("1x", None),
        ] {
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(deadline(&headers), expected, "{text:?}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }
}
