//! Certificates: a CA, the certificates that it signs, and the CA that the server manages by itself.
//!
//! * `authority`: a CA and its signatures; `subject`: the names in clients' certificates
//! * [`managed`]: the managed CA and the server's certificate; `ca_secret`: the Secret that holds the CA
//! * `not_before`: the time before which no client certificate may begin
//! * [`signer`]: signs CertificateSigningRequests of clients

mod authority;
mod ca_secret;
#[cfg(test)]
mod fuzz;
pub mod managed;
mod not_before;
pub mod signer;
mod subject;

pub use self::authority::{Authority, DAY, Issued, host, server_names};
pub(crate) use self::not_before::NotBefore;
