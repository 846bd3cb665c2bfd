//! What operators see: log lines and metrics.

mod actor;
mod calls;
mod log;
mod metrics;
mod process;
mod queue;
mod requests;
mod watches;

pub use self::{
    actor::Actor,
    calls::Calls,
    log::{LogFormat, chain, init_log},
    metrics::Metrics,
    queue::Queue,
    requests::Requests,
    watches::Watches,
};
