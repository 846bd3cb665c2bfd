//! A time that is stored as exactly as it was written.
//!
//! `Time` of k8s-openapi reads fractions of a second and writes none, so a status would have another time than the spec
//! from which it was copied.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// How many digits of a fraction are read, as Go reads them. The format `date-time` of a CRD allows any number.
const DIGITS: usize = 9;

/// Writes a time with its fraction, if it has one.
pub(super) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.0)
}

/// Reads a time with its fraction, as the API server reads it when it checks the rules of a CRD.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    with_nanoseconds(&with_minutes(&text)).parse::<Timestamp>().map(Time).map_err(D::Error::custom)
}

/// A time whose offset has fewer than 60 minutes. RFC 3339 allows no more, but Go reads 60 of them as an hour
/// (`time.Parse`), so the API server stores such a time.
fn with_minutes(text: &str) -> Cow<'_, str> {
    let offset = |text: &str| -> Option<String> {
        let (time, hours) = text.strip_suffix(":60")?.split_at_checked(text.len().checked_sub(5)?)?;
        let is_offset = time.ends_with(['+', '-']) && hours.bytes().all(|c| c.is_ascii_digit());
        let hours: u8 = hours.parse().ok().filter(|_| is_offset)?;
        Some(format!("{time}{:02}:00", hours.saturating_add(1)))
    };
    offset(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A time without the digits that are smaller than nanoseconds.
fn with_nanoseconds(text: &str) -> Cow<'_, str> {
    let Some((seconds, rest)) = text.split_once(['.', ',']) else { return Cow::Borrowed(text) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits <= DIGITS {
        return Cow::Borrowed(text);
    }
    let (fraction, zone) = rest.split_at(digits);
    Cow::Owned(format!("{seconds}.{}{zone}", fraction.split_at(DIGITS).0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::resources::Override;

    #[test]
    fn a_time_is_written_as_exactly_as_it_is_read() {
        struct Row {
            name: &'static str,
            read: &'static str,
            /// The time as it is written. `None` if it cannot be read.
            written: Option<&'static str>,
        }
        for row in [
            Row { name: "seconds", read: "2030-01-01T12:00:00Z", written: Some("2030-01-01T12:00:00Z") },
            Row { name: "milliseconds", read: "2030-01-01T12:00:00.500Z", written: Some("2030-01-01T12:00:00.5Z") },
            Row {
                name: "nanoseconds",
                read: "2030-01-01T12:00:00.123456789Z",
                written: Some("2030-01-01T12:00:00.123456789Z"),
            },
            Row {
                name: "less than nanoseconds",
                read: "2030-01-01T12:00:00.1234567899Z",
                written: Some("2030-01-01T12:00:00.123456789Z"),
            },
            Row {
                name: "less than nanoseconds, in another zone",
                read: "2030-01-01T14:00:00.0000000000001+02:00",
                written: Some("2030-01-01T12:00:00Z"),
            },
            Row { name: "an offset", read: "2030-01-01T14:30:00+02:30", written: Some("2030-01-01T12:00:00Z") },
            Row { name: "60 minutes", read: "2030-01-01T14:00:00+01:60", written: Some("2030-01-01T12:00:00Z") },
            Row {
                name: "60 minutes in the west, and a long fraction",
                read: "2030-01-01T10:00:00.00000000001-01:60",
                written: Some("2030-01-01T12:00:00Z"),
            },
            Row {
                name: "the largest offset",
                read: "2030-01-02T13:00:00+24:60",
                written: Some("2030-01-01T12:00:00Z"),
            },
            Row { name: "61 minutes", read: "2030-01-01T14:00:00+01:61", written: None },
            Row { name: "60 minutes of no offset", read: "2030-01-01T12:60", written: None },
            Row { name: "60 seconds of no offset", read: "2030-01-01T12:00:60", written: None },
            Row { name: "no zone", read: "2030-01-01T12:00:00.5", written: None },
            Row { name: "no fraction", read: "2030-01-01T12:00:00.Z", written: None },
            Row { name: "after all times", read: "9999-12-31T23:59:59Z", written: None },
        ] {
            let read = |until: &str| serde_json::from_value::<Override>(json!({"replicas": 5, "until": until}));
            let Ok(over) = read(row.read) else {
                assert_eq!(row.written, None, "{}", row.name);
                continue;
            };
            let written = serde_json::to_value(&over).unwrap()["until"].clone();
            assert_eq!(written.as_str(), row.written, "{}", row.name);
            assert_eq!(read(written.as_str().unwrap()).unwrap(), over, "{}", row.name);
        }
    }
}
