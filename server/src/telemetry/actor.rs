//! Classes of actors. There are as many field managers as programs, too many for a label of a metric.

/// The class of the program that caused a drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Helm, run by a person or a pipeline.
    Helm,
    /// Argo CD or Flux.
    GitOps,
    /// A HorizontalPodAutoscaler, or another program that scales by load.
    Autoscaler,
    /// kubectl or one of its plugins.
    Kubectl,
    /// Any other program.
    Other,
    /// The managedFields do not say.
    Unknown,
}

impl Actor {
    pub(super) const ALL: [Self; 6] =
        [Self::Helm, Self::GitOps, Self::Autoscaler, Self::Kubectl, Self::Other, Self::Unknown];

    /// The class of a field manager that wrote through this subresource; empty means the object itself.
    pub(crate) fn of(manager: &str, subresource: &str) -> Self {
        match manager {
            "" | "unknown" => Self::Unknown,
            "helm" => Self::Helm,
            // Argo CD: server-side applies, other writes, and its web interface.
            "argocd-controller" | "argocd-application-controller" | "argocd-server" => Self::GitOps,
            // Flux.
            "kustomize-controller" | "helm-controller" | "flux" => Self::GitOps,
            // Its autoscaler writes through /scale; its Deployment controller scales ReplicaSets without it.
            "kube-controller-manager" if subresource == "scale" => Self::Autoscaler,
            "kubectl" => Self::Kubectl,
            _ if manager.starts_with("kubectl-") => Self::Kubectl,
            _ if manager.starts_with("keda") || manager.contains("autoscaler") => Self::Autoscaler,
            _ => Self::Other,
        }
    }

    /// The value of the metric's label.
    pub(super) const fn label(self) -> &'static str {
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
        let classes: [(&str, &[(&str, &str)]); 6] = [
            ("helm", &[("helm", "")]),
            (
                "gitops",
                &[
                    ("helm-controller", ""),
                    ("kustomize-controller", ""),
                    ("argocd-controller", ""),
                    ("argocd-application-controller", ""),
                    ("argocd-server", "scale"),
                ],
            ),
            (
                "autoscaler",
                &[
                    ("kube-controller-manager", "scale"),
                    ("keda-operator", "scale"),
                    ("keda", "scale"),
                    ("multidim-pod-autoscaler", ""),
                ],
            ),
            ("other", &[("kube-controller-manager", ""), ("terraform", ""), ("helmfile", "")]),
            ("kubectl", &[("kubectl", "scale"), ("kubectl-client-side-apply", ""), ("kubectl-edit", "")]),
            ("unknown", &[("unknown", ""), ("", "")]),
        ];
        for (class, writers) in classes {
            for (manager, subresource) in writers {
                assert_eq!(Actor::of(manager, subresource).label(), class, "{manager} {subresource}");
            }
        }
    }
}
