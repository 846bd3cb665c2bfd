//! What the end-to-end tests, the demo and the benchmarks share.
//!
//! # Layout
//!
//! A file imports only from files above it in this list.
//!
//! * [`ROOT`], [`PATIENCE`]: the repository's folder, and the timeout of every wait.
//! * [`release`]: the workspace's programs, and the chart's release as users install it. [`Memory`]: a process's memory.
//! * [`manifests`]: builders for the manifests of workloads and ReplicaCounts.
//! * [`connect`], [`Certificate`]: gRPC channels. [`presented`]: client certificates of every kind. [`raw`]: calls and
//!   connections with arbitrary bytes.
//! * [`TestCluster`]: a control plane with the server in it. [`chart`] renders the chart; `grpcurl` and `kubectl_replicas`
//!   call the server with the real programs.
//! * [`Namespace`]: a test's own namespace, with conditions to wait for.
//! * [`User`], [`StandaloneServer`], [`installation`], [`two_replicas`]: other users, and other ways to run the server.
//! * [`application`], [`SetRequests`], [`CertificateRotation`], [`HangingWebhook`]: what tests do to a namespace.
//!   [`ApiProxy`]: what they do to the API server's answers. [`NetworkPath`]: a path that swallows packets.

mod api_proxy;
pub mod application;
mod channel;
pub mod chart;
mod constants;
mod grpcurl;
pub mod installation;
mod kubectl_replicas;
pub mod manifests;
mod memory;
pub mod namespace;
mod network_path;
pub mod presented;
pub mod raw;
pub mod release;
mod rotation;
mod set_requests;
mod standalone;
mod test_cluster;
pub mod two_replicas;
mod user;
mod webhook;

pub use api_proxy::{ApiProxy, Fault};
pub use channel::{Certificate, connect, dial, dial_with_endpoint, handshake, served_certificate};
pub use constants::{PATIENCE, ROOT};
pub use grpcurl::{Refusal, documented_call};
pub use kubectl_replicas::{Outcome, outcome};
pub use memory::Memory;
pub use namespace::{Namespace, condition};
pub use network_path::NetworkPath;
pub use rotation::CertificateRotation;
pub use set_requests::SetRequests;
pub use standalone::{CERTIFICATE_FILES, StandaloneServer, server_flags};
pub use test_cluster::{Server, TestCluster, http, metric, shared_cluster};
pub use user::{RUN_PODS, User};
pub use webhook::HangingWebhook;
