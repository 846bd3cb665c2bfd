//! Certificates: a CA, what it signs, and the CA that the server manages by itself.

mod authority;
pub mod managed;
pub mod signer;
mod subject;

pub use authority::{Authority, DAY, Issued, end, host, server_names};
