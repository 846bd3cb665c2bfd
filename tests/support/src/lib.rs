//! What the end-to-end tests, the demo and the benchmarks share.
//!
//! # Layout
//!
//! A file imports only from files above it in this list.
//!
//! * [`ROOT`], [`PATIENCE`]: the repository's folder, and the timeout of every wait.
//! * [`release`]: the workspace's programs, and the chart's release as users install it. [`Memory`]: a process's memory.
//!   [`metric`]: a server's metrics.
//! * [`manifests`]: builders for the manifests of workloads and ReplicaCounts.
//! * [`connect`], [`Certificate`]: gRPC channels. [`presented`]: client certificates of every kind. [`raw`]: calls and
//!   connections with arbitrary bytes.
//! * [`TestCluster`]: a control plane with the server in it. [`chart`] renders the chart; `grpcurl` and `kubectl_replicas`
//!   call the server with the real programs.
//! * [`Namespace`]: a test's own namespace, with conditions to wait for.
//! * [`User`], [`callers`], [`StandaloneServer`], [`installation`], [`two_replicas`], [`admission`]: other users, and other
//!   ways to run the server.
//! * [`application`], [`SetRequests`], [`CertificateRotation`], [`HangingWebhook`], [`RefusingWebhook`]: what tests do to a
//!   namespace.
//!   [`ApiProxy`]: what they do to the API server's answers. [`NetworkPath`]: a path that swallows packets.

pub mod admission;
mod api_proxy;
pub mod application;
pub mod callers;
mod channel;
pub mod chart;
mod constants;
mod grpcurl;
pub mod installation;
mod kubectl_replicas;
pub mod manifests;
mod memory;
mod metrics;
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
pub use metrics::{http, metric, metric_total};
pub use namespace::{Namespace, condition};
pub use network_path::NetworkPath;
pub use rotation::CertificateRotation;
pub use set_requests::SetRequests;
pub use standalone::{CERTIFICATE_FILES, StandaloneServer, server_flags};
pub use test_cluster::{Server, TestCluster, shared_cluster};
pub use user::{RUN_PODS, User};
pub use webhook::{HangingWebhook, RefusingWebhook};
