//! Classes of actors, few enough to be a label: there are as many field managers as programs that write.

/// Who caused a drift, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Helm itself.
    Helm,
    /// Argo CD or Flux.
    GitOps,
    /// A HorizontalPodAutoscaler, or another program that scales by load.
    Autoscaler,
    /// kubectl or one of its plugins.
    Kubectl,
    /// Any other program.
    Other,
    /// Kubernetes does not tell.
    Unknown,
}

impl Actor {
    /// Every class.
    pub const ALL: [Self; 6] = [Self::Helm, Self::GitOps, Self::Autoscaler, Self::Kubectl, Self::Other, Self::Unknown];

    /// The class of a field manager that wrote through this subresource.
    pub fn of(manager: &str, subresource: &str) -> Self {
        match manager {
            "" | "unknown" => Self::Unknown,
            "helm" => Self::Helm,
            // Argo CD's, of server-side applies and of others, and its web interface's; then Flux's.
            "argocd-controller" | "argocd-application-controller" | "argocd-server" => Self::GitOps,
            "kustomize-controller" | "helm-controller" | "flux" => Self::GitOps,
            // It scales ReplicaSets for Deployments as well, but not through /scale.
            "kube-controller-manager" if subresource == "scale" => Self::Autoscaler,
            "kubectl" => Self::Kubectl,
            _ if manager.starts_with("kubectl-") => Self::Kubectl,
            _ if manager.starts_with("keda") || manager.contains("autoscaler") => Self::Autoscaler,
            _ => Self::Other,
        }
    }

    /// The value of the label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Helm => "helm",
            Self::GitOps => "gitops",
            Self::Autoscaler => "autoscaler",
            Self::Kubectl => "kubectl",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_managers_fall_into_classes() {
        for (manager, subresource, class) in [
            ("helm", "", "helm"),
            ("helm-controller", "", "gitops"),
            ("kustomize-controller", "", "gitops"),
            ("argocd-controller", "", "gitops"),
            ("argocd-application-controller", "", "gitops"),
            ("argocd-server", "scale", "gitops"),
            ("kube-controller-manager", "scale", "autoscaler"),
            ("kube-controller-manager", "", "other"),
            ("keda-operator", "scale", "autoscaler"),
            ("keda", "scale", "autoscaler"),
            ("multidim-pod-autoscaler", "", "autoscaler"),
            ("kubectl", "scale", "kubectl"),
            ("kubectl-client-side-apply", "", "kubectl"),
            ("kubectl-edit", "", "kubectl"),
            ("terraform", "", "other"),
            ("helmfile", "", "other"),
            ("unknown", "", "unknown"),
            ("", "", "unknown"),
        ] {
            assert_eq!(Actor::of(manager, subresource).label(), class, "{manager} {subresource}");
        }
    }
}
