//! Keeps Kubernetes replica counts where they were set: the library of the server, `replica-count-manager`.
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
//! * [`run`]: puts the parts together, and stops them in order
//! * [`args`]: the settings
//! * [`resources`]: the Kubernetes objects that the server reads and writes
//! * [`index`]: what the watches know
//! * [`enforcement`]: keeps every managed target at its desired count
//! * [`grpc`]: the gRPC services
//! * [`leader`]: elects the replica that enforces
//! * [`tls`], [`pki`]: mutual TLS, and the certificates that the server issues
//! * [`telemetry`]: logs and metrics
//! * [`runtime`]: signals, threads, readiness, the client of the API server

pub mod args;
pub mod enforcement;
#[cfg(test)]
mod fuzz;
pub mod grpc;
pub mod index;
pub mod leader;
pub mod pki;
pub mod resources;
pub mod run;
pub mod runtime;
pub mod telemetry;
pub mod tls;
