//! A real Kubernetes control plane on a bare machine, for the tests and the demo.
//!
//! # Layout
//!
//! * [`Tools`] finds or builds the programs: etcd, the control plane, kubectl, kwok, Helm 4 and 3, grpcurl and krew.
//!   [`find_tool`] does it for one of them, or for promtool and actionlint. The program `tool` prints its path.
//! * [`Cluster`] runs the programs on loopback, in its own folder, and ends them with the process that owns it.
//! * [`Handle`] kills, pauses and restarts one of them.
//! * [`Kubelet`] runs annotated pods as real processes, and connects the API server to them by Services. kwok simulates
//!   all other pods.
//! * [`Cluster::populate`] stores hundreds of thousands of objects.
//! * [`wait`] waits for conditions, and [`ports`] returns free ports.
//!
//! It needs Linux, for its signals, process groups and symlinks.

mod arguments;
mod bootstrap;
mod certificates;
mod client;
mod cluster;
mod cluster_files;
mod command;
mod component;
mod egress;
pub mod kubelet;
mod kwok;
mod options;
pub mod populate;
pub mod ports;
mod process;
mod processes;
mod reaper;
mod tools;
pub mod wait;

pub use cluster::Cluster;
pub use command::run;
pub use component::Component;
pub use kubelet::Kubelet;
pub use options::Options;
pub use processes::Handle;
pub use tools::{Tool, Tools, find_tool};
