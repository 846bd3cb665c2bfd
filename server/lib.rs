//! Keeps Kubernetes replica counts where they were set.
//!
//! The library of the server, `replica-count-manager`. How a drift is put back, from left to right:
//!
//! ```text
//! API server ──watch──▶ cache::feeds ──▶ cache  ──▶ controller ──/scale──▶ API server
//!                                          │            └──status, Events──▶ API server
//!                                          └──▶ grpc (List, Get, Watch) ──mTLS──▶ clients
//! clients ──mTLS──▶ grpc (Set, Unset) ──ReplicaCount──▶ API server
//! ```
//!
//! `run` puts the parts together. The plugin, `kubectl-replicas`, uses only [`proto`] and [`apiserver`].

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod api;
pub mod apiserver;
#[cfg(feature = "server")]
pub mod args;
#[cfg(feature = "server")]
pub mod cache;
#[cfg(feature = "server")]
pub mod check;
#[cfg(feature = "server")]
pub mod controller;
#[cfg(feature = "server")]
pub mod discovery;
#[cfg(all(test, feature = "server"))]
mod fuzz;
#[cfg(feature = "server")]
pub mod grpc;
#[cfg(feature = "server")]
pub mod leader;
#[cfg(feature = "server")]
pub mod pki;
#[cfg(feature = "server")]
pub mod pod;
pub mod proto;
#[cfg(feature = "server")]
mod quota;
#[cfg(feature = "server")]
pub mod readiness;
#[cfg(feature = "server")]
pub mod run;
#[cfg(feature = "server")]
pub mod scale;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
mod thread;
#[cfg(feature = "server")]
pub mod tls;
