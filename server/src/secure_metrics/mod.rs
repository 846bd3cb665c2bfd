//! The metrics behind TLS, for users who may get `/metrics`: the API server authenticates their tokens and knows their
//! rights.
//!
//! # Layout
//!
//! * `endpoint`: serves `/metrics`, within bounds
//! * `readers`: whether the token of a request is that of a user who may read the metrics
//! * `questions`: what is asked of the API server about a token
//! * `answers`: what is known about tokens, for a short time
//! * `refusal`: why a request is refused

mod answers;
mod endpoint;
#[cfg(test)]
mod fixtures;
mod questions;
mod readers;
mod refusal;

pub(crate) use self::{endpoint::serve, readers::Readers};
