//! Admission: the webhooks by which the API server asks about writes of counts. The leader answers.
//!
//! # Layout
//!
//! * `args`: the settings
//! * `endpoint`: serves the webhooks; `paths`: the secret that the API server shows; `bodies`: bounds what is read
//! * `publisher`: tells the API server where they are, by the `slice` of their Service and by their `configuration`
//! * `handle`: answers one review
//! * `request`, `object`: what the API server asks
//! * `held`: the count at which a target is held
//! * `review`: the one decision, a pure function
//! * `texts`, `response`: the answer

mod args;
mod bodies;
mod configuration;
mod endpoint;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fuzz;
mod handle;
mod held;
mod object;
mod paths;
mod publisher;
mod request;
mod response;
mod review;
mod slice;
mod texts;

pub use self::args::AdmissionArgs;
pub(crate) use self::{
    endpoint::{BUFFERS, Webhooks},
    handle::Reviewer,
    paths::Paths,
    publisher::{Certificate, Publisher},
    slice::Address,
};
