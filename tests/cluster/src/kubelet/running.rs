//! The running pods as tests see them, and signals to their processes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::container::{Phase, Running};
use crate::process;

/// The kubelet's entry of a pod.
pub(super) struct Entry {
    /// The pod's address.
    pub(super) address: IpAddr,
    /// The addresses of the pod's process, by the name and by the number of each port of the pod.
    pub(super) ports: BTreeMap<String, SocketAddr>,
    pub(super) containers: Arc<Vec<Running>>,
}

impl Entry {
    /// The address of the process that listens on a port of the pod. A process knows only its ports of this machine, and
    /// may publish one of those as a port of the pod.
    pub(super) fn listener(&self, port: u16) -> Option<SocketAddr> {
        let own = || self.ports.values().find(|address| address.port() == port);
        self.ports.get(&port.to_string()).or_else(own).copied()
    }

    pub(super) fn snapshot(&self) -> RunningPod {
        let containers = self.containers.iter().map(|container| {
            let state = container.state();
            RunningContainer {
                name: container.plan.name.clone(),
                pid: match state.phase {
                    Phase::Running { pid, .. } => Some(pid),
                    Phase::Waiting { .. } | Phase::Terminated(_) => None,
                },
                log: container.plan.log.clone(),
            }
        });
        RunningPod { ports: self.ports.clone(), containers: containers.collect() }
    }
}

/// A snapshot of a pod. Most pods have one container, and the methods act on the first one.
#[derive(Clone, Debug)]
pub struct RunningPod {
    ports: BTreeMap<String, SocketAddr>,
    containers: Vec<RunningContainer>,
}

#[derive(Clone, Debug)]
struct RunningContainer {
    name: String,
    /// The id of the process, if it is running.
    pid: Option<u32>,
    /// The file of the output of all restarts. It stays when the pod is deleted.
    log: PathBuf,
}

impl RunningPod {
    /// The address of a port of the pod, by the port's name or number.
    ///
    /// # Errors
    ///
    /// If the pod declares no such port.
    pub fn address(&self, port: &str) -> Result<SocketAddr> {
        self.ports.get(port).copied().with_context(|| format!("the pod declares no port {port}: {:?}", self.ports))
    }

    /// The id of the process.
    ///
    /// # Errors
    ///
    /// If the process was not running, as between two restarts.
    pub fn pid(&self) -> Result<u32> {
        let first = self.containers.first().context("the pod has no container")?;
        first.pid.with_context(|| format!("the container {} has no process", first.name))
    }

    /// The file of the output.
    pub fn log(&self) -> Option<&Path> {
        self.containers.first().map(|container| container.log.as_path())
    }

    /// Kills the process (SIGKILL).
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn kill(&self) -> Result<()> {
        process::signal(self.pid()?, Signal::KILL)
    }

    /// Asks the process to end (SIGTERM), as a deletion of the pod does.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn terminate(&self) -> Result<()> {
        process::signal(self.pid()?, Signal::TERM)
    }

    /// Pauses the process (SIGSTOP).
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn pause(&self) -> Result<()> {
        process::signal(self.pid()?, Signal::STOP)
    }

    /// Resumes the process (SIGCONT).
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        process::signal(self.pid()?, Signal::CONT)
    }
}
