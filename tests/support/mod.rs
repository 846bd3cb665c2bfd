//! What the tests share: a cluster with a server in it, namespaces, and short ways to ask.

pub(crate) mod app;
mod channel;
pub(crate) mod chart;
mod grpcurl;
pub(crate) mod installation;
mod kubectl_replicas;
mod memory;
pub(crate) mod namespace;
pub(crate) mod pair;
pub(crate) mod presented;
pub(crate) mod raw;
pub(crate) mod release;
pub(crate) mod rotation;
mod setters;
mod standalone;
mod user;
mod webhook;
mod world;

pub(crate) use channel::{Certificate, connect, dial, dial_as, handshake};
pub(crate) use grpcurl::Refusal;
pub(crate) use kubectl_replicas::{Outcome, outcome};
pub(crate) use memory::Memory;
pub(crate) use namespace::{Namespace, condition};
pub(crate) use rotation::shown;
pub(crate) use setters::Setters;
pub(crate) use standalone::{FILES, Standalone, server_flags};
pub(crate) use user::{RUN, User};
pub(crate) use webhook::Hanging;
pub(crate) use world::{Server, World, http, metric, world};

/// The end of every wait: generous, since machines that run tests are often loaded far beyond their cores.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
