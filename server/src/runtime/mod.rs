//! The process and its surroundings: signals, threads, the pod, readiness, the client of the API server.

pub(crate) mod admin;
pub(crate) mod by_address;
pub mod client;
pub(crate) mod connections;
pub(crate) mod limiter;
pub(crate) mod listen;
pub(crate) mod object_labels;
pub(crate) mod one_request;
pub(crate) mod places;
pub mod pod;
pub(crate) mod readiness;
pub mod shutdown;
pub(crate) mod thread;
