//! The programs of a control plane.

use crate::cluster_files::ClusterFiles;
use crate::tools::Tool;

/// A program that runs as a process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The database of the API server.
    Etcd,
    /// The API of Kubernetes.
    ApiServer,
    /// The controllers of Kubernetes: Deployments, ReplicaSets, garbage collection and others.
    ControllerManager,
    /// Assigns pods to nodes.
    Scheduler,
    /// Simulates nodes and pods.
    Kwok,
}

impl Component {
    pub(crate) const fn tool(self) -> Tool {
        match self {
            Self::Etcd => Tool::Etcd,
            Self::ApiServer => Tool::KubeApiserver,
            Self::ControllerManager => Tool::KubeControllerManager,
            Self::Scheduler => Tool::KubeScheduler,
            Self::Kwok => Tool::Kwok,
        }
    }

    /// The port that the component listens on.
    pub(crate) const fn port(self, files: &ClusterFiles) -> u16 {
        match self {
            Self::Etcd => files.etcd,
            Self::ApiServer => files.api_server,
            Self::ControllerManager => files.controller_manager,
            Self::Scheduler => files.scheduler,
            Self::Kwok => files.kwok,
        }
    }
}
