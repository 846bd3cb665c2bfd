//! What operators see: log lines and metrics.

mod actor;
mod calls;
mod metrics;
mod process;
mod queue;
mod requests;
mod watches;

use std::{
    error::Error,
    io::{self, IsTerminal},
};

use tracing_subscriber::EnvFilter;

pub use self::{actor::Actor, calls::Calls, metrics::Metrics, queue::Queue, requests::Requests, watches::Watches};

/// Starts writing log lines to stderr.
///
/// `level` is a level or a filter in `tracing_subscriber`'s syntax.
///
/// # Errors
///
/// When the filter cannot be read.
pub fn init_log(level: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    // On a failure to decode, kube's client logs whole response bodies; and its watches tell every failure that we tell.
    let filter = EnvFilter::try_new(format!("{level},kube_client::client=error,kube_runtime::watcher=error"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
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
