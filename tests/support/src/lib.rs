//! What the tests share: a cluster with a server in it, namespaces, and short ways to ask.

pub mod app;
mod channel;
pub mod chart;
mod grpcurl;
pub mod installation;
mod kubectl_replicas;
mod memory;
pub mod namespace;
pub mod pair;
pub mod presented;
pub mod raw;
pub mod release;
pub mod rotation;
mod setters;
mod standalone;
mod user;
mod webhook;
mod world;

pub use channel::{Certificate, connect, dial, dial_as, handshake};
pub use grpcurl::Refusal;
pub use kubectl_replicas::{Outcome, outcome};
pub use memory::Memory;
pub use namespace::{Namespace, condition};
pub use rotation::shown;
pub use setters::Setters;
pub use standalone::{FILES, Standalone, server_flags};
pub use user::{RUN, User};
pub use webhook::Hanging;
pub use world::{Server, World, http, metric, world};

/// The root of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The end of every wait: generous, since machines that run tests are often loaded far beyond their cores.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
