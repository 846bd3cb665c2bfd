//! Log lines: for people, or for programs.

use std::{
    error::Error,
    io::{self, IsTerminal},
    panic,
};

use clap::ValueEnum;
use tracing::error;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, sentence, fields
    Text,
    /// For programs: an object a line
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
    // On a failure to decode, kube's client logs whole response bodies; and its watches tell every failure that we tell.
    let filter = EnvFilter::try_new(format!("{level},kube_client::client=error,kube_runtime::watcher=error"))?;
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
            // What reads the lines understands nothing else.
            panic::set_hook(Box::new(|panic| error!(%panic, "panicked")));
        }
    }
    Ok(())
}

/// An error with all its causes, but for those that it has told already: many libraries repeat the cause in their text.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}
