//! The log, and errors with their causes.

use std::{
    error::Error,
    io::{self, IsTerminal},
    panic,
};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, fmt};

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of time, level, message and fields
    Text,
    /// One JSON object per line
    Json,
}

/// Starts writing log lines to stderr.
///
/// `level` is a level or a filter in `tracing_subscriber`'s syntax.
///
/// # Errors
///
/// When the filter cannot be read.
pub fn init_log(level: &str, format: LogFormat) -> Result<(), tracing_subscriber::filter::ParseError> {
    // kube's client logs whole response bodies that it fails to decode, and its watcher logs each failure that we log
    // too.
    let filter = EnvFilter::try_new(format!("{level},kube_client::client=error,kube_runtime::watcher=error"))?;
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
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
