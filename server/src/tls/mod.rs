//! TLS 1.3, with client certificates apart from the webhooks and the metrics, by an accept loop of our own: tonic's cannot
//! pin the TLS version.
//!
//! * `accept`: accepts connections and runs their handshakes
//! * `clients`: which client certificates are accepted, and which names are believed
//! * `connection`: an accepted connection, which ends at an age or after silence
//! * `credentials`: the server's certificate, renewed while connections stay open
//! * `files`: PEM files, read and checked
//! * `handshakes`: the handshakes under way
//! * `hellos`: connections before their handshake
//! * `identity`: the user and groups in a client certificate
//! * `limits`: how many connections and handshakes there may be
//! * `one_way`: TLS without certificates of clients, for the webhooks and the metrics
//! * `recheck`: ends open connections whose certificate is no longer accepted
//! * `socket`: bounds the bytes of a handshake
//! * `unread`: answers that the peer of a connection has not read

mod accept;
mod clients;
mod connection;
mod credentials;
mod files;
#[cfg(test)]
mod fuzz;
mod handshakes;
mod hellos;
mod identity;
mod limits;
mod one_way;
mod recheck;
mod socket;
mod unread;

pub(crate) use self::{
    accept::incoming,
    clients::ClientCa,
    connection::{Connection, MAX_AGE, Peer},
    credentials::{ClientRules, Credentials, PemSource},
    limits::Bounds,
    one_way::{OneWayConnection, one_way},
};
pub use self::{files::Files, identity::Identity};
