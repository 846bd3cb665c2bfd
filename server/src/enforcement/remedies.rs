//! What ends contention with each known tool, in one line. `docs/tools` has the same at length.

use super::observation::Observation;

/// What to do about a field manager that keeps changing the count of a target.
pub fn remedy(manager: &str, observation: &Observation) -> String {
    let target = &observation.count.spec.scale_target_ref;
    let (group, kind, name) = (target.api_version.split('/').next().unwrap_or_default(), &target.kind, &target.name);
    let desired = observation.count.spec.desired(observation.at).unwrap_or(observation.count.spec.replicas);
    let resource = format!("{}.{group}/{name}", kind.to_lowercase());
    match manager {
        "helm" => {
            "leave replicas out of the chart's template: {{- if not .Values.held }} … {{- end }} around the line \
            `replicas:`, and upgrade with --set held=true"
                .to_owned()
        }
        "helm-controller" => format!(
            "leave replicas out of the chart's values, and set in the HelmRelease: spec: {{driftDetection: {{ignore: \
            [{{paths: [/spec/replicas], target: {{kind: {kind}, name: {name}}}}}]}}}}"
        ),
        "kustomize-controller" | "flux" => format!(
            "set in the Kustomization: spec: {{ignore: [{{paths: [/spec/replicas], target: {{kind: {kind}, name: {name}}}}}]}}"
        ),
        "argocd-controller" | "argocd-application-controller" | "argocd-server" => format!(
            "set in the Application: spec: {{ignoreDifferences: [{{group: {group}, kind: {kind}, jsonPointers: \
            [/spec/replicas]}}], syncPolicy: {{syncOptions: [RespectIgnoreDifferences=true]}}}}"
        ),
        "kube-controller-manager" => format!(
            "delete the HorizontalPodAutoscaler that scales {resource}: `kubectl get horizontalpodautoscalers` lists them"
        ),
        "autoscaler" => format!(
            "if it is Knative, give the Service the annotations autoscaling.knative.dev/min-scale and max-scale: \"{desired}\""
        ),
        "cluster-autoscaler" => format!(
            "give {resource} the annotations cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size and max-size: \"{desired}\""
        ),
        "kubectl-client-side-apply" => format!(
            "somebody applies a manifest with another count: take replicas out of the manifest, or run `kubectl replicas set \
            {resource} COUNT` with its count"
        ),
        "unknown" => "Kubernetes does not record who: the audit log of the API server has the user".to_owned(),
        _ if manager.starts_with("keda") => {
            "pause the ScaledObject: `kubectl annotate scaledobject NAME autoscaling.keda.sh/paused=true`".to_owned()
        }
        _ if manager == "kubectl" || manager.starts_with("kubectl-") => format!(
            "a person or a script does it by hand: ask for `kubectl replicas set {resource} COUNT` instead, which changes \
            the count that is held"
        ),
        _ => match observation.target.as_ref().and_then(|target| target.controller.as_deref()) {
            Some(owner) => format!("set the count in {owner}, which owns {resource}"),
            None => format!("leave the count out of what {manager} writes"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforcement::fixtures::{Managed, TargetFixture, target};

    fn said(manager: &str, state: TargetFixture) -> String {
        let mut managed = Managed::at(3);
        managed.see(0, state);
        remedy(manager, &managed.observation)
    }

    #[test]
    fn each_known_tool_has_its_remedy() {
        let (flux, other) = (include_str!("../../../docs/tools/flux.md"), include_str!("../../../docs/tools/other.md"));
        struct Row {
            manager: &'static str,
            /// A part of the remedy, and the page that has it at length.
            expected: &'static str,
            page: &'static str,
        }
        for row in [
            Row {
                manager: "helm",
                expected: "{{- if not .Values.held }}",
                page: include_str!("../../../docs/tools/helm-4.md"),
            },
            Row { manager: "helm-controller", expected: "driftDetection", page: flux },
            Row { manager: "kustomize-controller", expected: "paths: [/spec/replicas]", page: flux },
            Row {
                manager: "argocd-controller",
                expected: "RespectIgnoreDifferences=true",
                page: include_str!("../../../docs/tools/argo-cd.md"),
            },
            Row {
                manager: "kube-controller-manager",
                expected: "HorizontalPodAutoscaler",
                page: include_str!("../../../docs/tools/hpa.md"),
            },
            Row {
                manager: "keda-operator",
                expected: "autoscaling.keda.sh/paused",
                page: include_str!("../../../docs/tools/keda.md"),
            },
            Row {
                manager: "kubectl",
                expected: "kubectl replicas set",
                page: include_str!("../../../docs/tools/kubectl.md"),
            },
            Row {
                manager: "kubectl-client-side-apply",
                expected: "take replicas out of the manifest",
                page: include_str!("../../../docs/tools/kubectl.md"),
            },
            Row { manager: "autoscaler", expected: "autoscaling.knative.dev/min-scale", page: other },
            Row {
                manager: "cluster-autoscaler",
                expected: "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size",
                page: other,
            },
        ] {
            let said = said(row.manager, target(5, 3));
            assert!(said.contains(row.expected), "{}: {said}", row.manager);
            assert!(row.page.contains(row.expected), "the page of {}: {}", row.manager, row.expected);
        }
    }

    #[test]
    fn an_operator_is_found_by_the_owner_of_the_target() {
        assert_eq!(
            said("strimzi", target(5, 3).controlled_by("Kafka events")),
            "set the count in Kafka events, which owns deployment.apps/web"
        );
        assert_eq!(said("terraform", target(5, 3)), "leave the count out of what terraform writes");
        assert!(said("kubectl", target(5, 3)).contains("kubectl replicas set deployment.apps/web COUNT"));
    }
}
