//! A real Kubernetes control plane on a bare machine, for the tests and the demo.
//!
//! * [`Tools`] finds or builds the programs: etcd, the control plane, kubectl, kwok, Helm 4 and 3, grpcurl and krew.
//! * [`Cluster`] runs them on loopback in a folder of its own, and ends them with the process that owns it.
//! * [`Kubelet`] runs annotated pods as real processes; kwok plays all others.
//! * [`Cluster::populate`] fills it with objects by the hundred thousand.
//! * [`wait`] waits for conditions, [`ports`] hands out free ports.
//!
//! Linux is the platform: signals, process groups and symlinks are used as they are there.

mod arguments;
mod bootstrap;
mod certificates;
mod cluster;
mod command;
mod component;
pub mod kubelet;
mod kwok;
mod populate;
pub mod ports;
mod process;
mod reaper;
mod site;
mod tools;
pub mod wait;

pub use cluster::{Cluster, Options};
pub use command::run;
pub use component::{Component, Handle};
pub use kubelet::Kubelet;
pub use tools::{Tool, Tools, promtool};
