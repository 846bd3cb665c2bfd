//! The log, and errors with their causes.

use std::{
    error::Error,
    io::{self, IsTerminal},
    panic,
};

use clap::ValueEnum;
use tracing::{error, level_filters::LevelFilter};
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt};

/// The target of audit lines. It has a level of its own, so a higher level of all other lines does not drop them.
pub(crate) const AUDIT: &str = "audit";

/// The filter that LOG_LEVEL adds to. A filter that only names targets leaves the level at info.
///
/// kube's client logs whole response bodies that it fails to decode, and its watcher logs each failure that we log too.
const DEFAULTS: &str = "info,audit=info,kube_client::client=error,kube_runtime::watcher=error";

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of time, level, message and fields
    Text,
    /// One JSON object per line
    Json,
}

/// Why LOG_LEVEL is neither a level nor a filter.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFilter {
    /// A part of it ends with another word than a level.
    #[error(
        "{0:?} is not a level: use error, warn, info, debug or trace, or a filter such as info,kube=debug or warn,audit=off"
    )]
    Level(String),
    /// A part of it cannot be read.
    #[error("failed to read the filter")]
    Filter(#[from] ParseError),
}

/// Starts writing log lines to stderr.
///
/// `level` is a level or a filter in `tracing_subscriber`'s syntax, in which every target has a level.
///
/// # Errors
///
/// When it is neither.
pub fn init_log(level: &str, format: LogFormat) -> Result<(), InvalidFilter> {
    let lines = fmt().with_env_filter(filter(level)?).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
            // A program reads the log, so a panic must be a JSON line too.
            panic::set_hook(Box::new(|panic| error!(%panic, "panicked")));
        }
    }
    Ok(())
}

/// Reads LOG_LEVEL. `tracing_subscriber` takes an unknown word for a target and would then log nothing else, so a part
/// without a level is refused.
fn filter(text: &str) -> Result<EnvFilter, InvalidFilter> {
    let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let has_level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    };
    match parts.iter().find(|part| !has_level(part)) {
        Some(part) => Err(InvalidFilter::Level((*part).to_owned())),
        None if parts.is_empty() => Err(InvalidFilter::Level(text.to_owned())),
        None => Ok(EnvFilter::try_new(format!("{DEFAULTS},{}", parts.join(",")))?),
    }
}

/// An error with all its causes. Many libraries repeat the cause in their text: such a cause is not repeated.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{debug, info, subscriber, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that a filter lets through.
    fn logged(filter: EnvFilter) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = fmt().with_env_filter(filter).with_writer(move || writer.clone()).finish();
        subscriber::with_default(subscriber, || {
            info!(target: AUDIT, "an audit line");
            warn!("a warning");
            info!("information");
            debug!("details");
            debug!(target: "kube", "details of kube");
            warn!(target: "kube_client::client", "a body");
        });
        String::from_utf8(lines.0.lock().clone()).unwrap()
    }

    #[test]
    fn a_level_or_a_filter_lets_through_what_it_says_and_audit_lines() {
        let all = ["an audit line", "a warning", "information", "details\n", "details of kube", "a body"];
        for (level, expected) in [
            ("error", &[0][..]),
            ("warn", &[0, 1]),
            ("WARN", &[0, 1]),
            ("info", &[0, 1, 2]),
            ("debug", &[0, 1, 2, 3, 4]),
            ("off", &[0]),
            ("kube=debug", &[0, 1, 2, 4]),
            ("warn, kube=debug", &[0, 1, 4]),
            ("kube=debug,error,", &[0, 4]),
            ("warn,audit=off", &[1]),
            ("warn,kube_client::client=debug", &[0, 1, 5]),
            ("replica_count_manager=debug", &[0, 1, 2, 3]),
        ] {
            let lines = logged(filter(level).unwrap());
            let found: Vec<_> = (0..all.len()).filter(|index| lines.contains(all[*index])).collect();
            assert_eq!(found, expected, "{level}: {lines}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_levels() {
        for (level, named) in [
            ("verbose", "verbose"),
            ("", ""),
            (",", ","),
            ("infos", "infos"),
            ("info,kube", "kube"),
            ("kube=loud", "kube=loud"),
            ("kube=", "kube="),
            ("warning", "warning"),
            ("[span]", "[span]"),
        ] {
            let error = filter(level).unwrap_err().to_string();
            let expected = format!("{named:?} is not a level: use error, warn, info, debug or trace");
            assert!(error.starts_with(&expected), "{error}");
        }
        assert!(matches!(filter("a[=debug"), Err(InvalidFilter::Filter(_))));
    }
}
