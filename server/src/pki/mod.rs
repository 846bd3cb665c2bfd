//! Certificates: a CA, what it signs, and the CA that the server manages by itself.

mod authority;
#[cfg(test)]
mod fuzz;
pub mod managed;
pub mod signer;
mod subject;

pub use authority::{Authority, DAY, Issued, end, host, server_names};

use kube::api::PostParams;

use crate::resources::FIELD_MANAGER;

/// How everything here is written.
fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
