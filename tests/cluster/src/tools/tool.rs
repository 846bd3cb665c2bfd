//! The programs that tests and the demo call.

/// A program that tests and the demo call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The database of the API server.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The controllers of Kubernetes: Deployments, ReplicaSets, garbage collection and the rest.
    KubeControllerManager,
    /// Assigns pods to nodes.
    KubeScheduler,
    /// The command line of Kubernetes.
    Kubectl,
    /// Simulates nodes and pods.
    Kwok,
    /// Installs charts.
    Helm,
    /// Installs charts with Helm 3, which many users still have.
    Helm3,
    /// Calls gRPC services.
    Grpcurl,
    /// Installs kubectl plugins.
    Krew,
    /// Checks alert rules, queries and metrics for Prometheus.
    Promtool,
    /// Checks the workflows of GitHub.
    Actionlint,
}

impl Tool {
    /// Every tool.
    pub const ALL: [Self; 12] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Helm,
        Self::Helm3,
        Self::Grpcurl,
        Self::Krew,
        Self::Promtool,
        Self::Actionlint,
    ];

    /// Whether no cluster needs it, so that it is built on demand only.
    pub(super) const fn is_apart(self) -> bool {
        matches!(self, Self::Promtool | Self::Actionlint)
    }

    /// Whether it is a part of the control plane whose version is that of Kubernetes.
    pub(super) const fn is_of_control_plane(self) -> bool {
        matches!(self, Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler)
    }

    /// The name of the executable file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
            Self::Helm3 => "helm3",
            Self::Grpcurl => "grpcurl",
            Self::Krew => "krew",
            Self::Promtool => "promtool",
            Self::Actionlint => "actionlint",
        }
    }
}
