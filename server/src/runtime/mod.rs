//! What the server needs of its process and its surroundings.

pub mod admin;
pub mod check;
pub mod client;
pub(crate) mod limiter;
pub mod pod;
pub mod readiness;
pub mod shutdown;
pub(crate) mod thread;
