//! Certificates: a CA, the certificates that it signs, and the CA that the server manages by itself.
//!
//! * `authority`: a CA and its signatures; `subject`: the names in clients' certificates
//! * [`managed`]: the managed CA and the server's certificate; `ca_secret`: the Secret that holds the CA
//! * [`signer`]: signs CertificateSigningRequests of clients

mod authority;
mod ca_secret;
#[cfg(test)]
mod fuzz;
pub mod managed;
pub mod signer;
mod subject;

pub use self::authority::{Authority, DAY, Issued, host, server_names};
