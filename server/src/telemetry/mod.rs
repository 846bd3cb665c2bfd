//! What operators see: log lines and metrics.
//!
//! * `log`: the log, and errors with their causes; `failure_log`: which failures get a line in it
//! * `metrics`: the registry and the server's own metrics; `queue`, `watches`, `requests`, `calls`, `admission`,
//!   `process`: metrics of one thing each
//! * `actor`: the classes of programs that cause drifts

mod actor;
mod admission;
mod calls;
mod failure_log;
mod log;
mod metrics;
mod process;
mod queue;
mod requests;
mod watches;

pub(crate) use self::log::{AUDIT, chain};
pub use self::{
    actor::Actor,
    admission::Admission,
    calls::{Calls, MethodKind},
    failure_log::FailureLog,
    log::{InvalidFilter, LogFormat, init_log},
    metrics::Metrics,
    queue::Queue,
    requests::Requests,
    watches::{Unreadables, Watches},
};
