//! The server `replica-count-manager`, which keeps Kubernetes replica counts where they were set.
//!
//! ```text
//! API server ──watch──▶ index ──events──▶ enforcement ──/scale──▶ API server
//!                         │                    └──status, Events──▶ API server
//!                         └──reads──▶ grpc (List, Get, Watch) ──mTLS──▶ clients
//! clients ──mTLS──▶ grpc (Set, Unset) ──ReplicaCount──▶ API server
//! ```
//!
//! # Layout
//!
//! A module imports only from those below it:
//!
//! * `parts`: the parts side by side, and the order in which they stop
//! * [`run`]: puts the parts together, and stops them in order
//! * `monitoring`: the probes and the metrics as a part
//! * `webhooks`: the webhooks as a part
//! * `certificates`: which certificates the server uses and accepts
//! * [`args`]: the settings
//! * [`check`]: the command that calls another server
//! * `admission`: the webhooks by which the API server asks about writes of counts
//! * `grpc`: the gRPC services
//! * `secure_metrics`: the metrics behind TLS
//! * [`enforcement`]: keeps every managed target at its desired count
//! * [`tls`]: mutual TLS
//! * [`pki`]: the certificates that the server issues
//! * [`leader`]: elects the replica that enforces
//! * [`runtime`]: signals, threads, the pod, readiness, the client of the API server
//! * [`index`]: what the watches know
//! * [`reviews`]: who made which write, as the webhooks have shown
//! * [`telemetry`]: logs and metrics
//! * [`resources`]: the Kubernetes objects that the server reads and writes

mod admission;
pub mod args;
mod certificates;
pub mod check;
pub mod enforcement;
#[cfg(test)]
mod fuzz;
mod grpc;
pub mod index;
pub mod leader;
mod monitoring;
mod parts;
pub mod pki;
pub mod resources;
pub mod reviews;
pub mod run;
pub mod runtime;
mod secure_metrics;
pub mod telemetry;
pub mod tls;
mod webhooks;
