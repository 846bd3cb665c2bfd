//! The revocation time: the earliest time at which client certificates may begin. It is in a file, so that it changes
//! without a restart.

use std::{fs, path::PathBuf, time::SystemTime};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use parking_lot::Mutex;

/// The file with the revocation time.
pub(crate) struct NotBefore {
    /// `None` if no certificate is to be revoked.
    file: Option<PathBuf>,
    /// The time that was read last.
    latest: Mutex<Option<Timestamp>>,
}

impl NotBefore {
    /// A revocation time in this file. Without a file, there is none.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file, latest: Mutex::default() }
    }

    /// Reads the file. A later [`Self::latest`] returns the same.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or does not hold a time that has passed.
    pub(crate) fn read(&self) -> Result<Option<Timestamp>> {
        let Some(file) = &self.file else { return Ok(None) };
        let name = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("failed to read {name}"))?;
        let time = parse(&text, Timestamp::now()).with_context(|| format!("failed to use the time in {name}"))?;
        *self.latest.lock() = time;
        Ok(time)
    }

    /// The time that was read last. Certificates that this server signs do not begin earlier.
    pub(super) fn latest(&self) -> Option<SystemTime> {
        self.latest.lock().map(SystemTime::from)
    }
}

/// Parses a time of RFC 3339, in whole seconds as in certificates; empty means none.
///
/// A time in the future is refused: until then, no certificate that this server signs would be accepted.
fn parse(text: &str, now: Timestamp) -> Result<Option<Timestamp>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let time: Timestamp = text.parse().with_context(|| format!("{text:?} is not a time such as {now:.0}"))?;
    ensure!(time <= now, "{time} is in the future: no client could connect until then");
    Ok(Some(Timestamp::from_second(time.as_second())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_time_is_a_time_that_has_passed() {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        for (name, text, expected) in [
            ("nothing", "", Some(None)),
            ("a line end", " \n", Some(None)),
            ("a time", "2026-11-23T08:59:59Z\n", Some(Some("2026-11-23T08:59:59Z"))),
            ("an offset", "2026-11-23T09:59:00+01:00", Some(Some("2026-11-23T08:59:00Z"))),
            ("parts of a second", "2026-11-23T08:59:59.9Z", Some(Some("2026-11-23T08:59:59Z"))),
            ("now", "2026-11-23T09:00:00Z", Some(Some("2026-11-23T09:00:00Z"))),
            ("the future", "2026-11-23T09:00:01Z", None),
            ("a day", "2026-11-23", None),
            ("no offset", "2026-11-23T08:00:00", None),
            ("a word", "now", None),
        ] {
            let parsed = parse(text, now).ok().map(|time| time.map(|time| time.to_string()));
            assert_eq!(parsed, expected.map(|time| time.map(str::to_owned)), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_missing_is_an_error() {
        assert!(NotBefore::new(Some("/nowhere/notBefore".into())).read().is_err());
        assert_eq!(NotBefore::new(None).read().unwrap(), None);
    }
}
