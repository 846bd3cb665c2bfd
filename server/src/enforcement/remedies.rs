//! What ends contention with each known tool, in one line. `docs/tools` has the same at length.

use contract::names::CORE_GROUP;

use super::observation::Observation;
use crate::resources::{Drift, FieldPath};

/// What to do about a field manager that keeps changing the count of a target. `drift` is its latest one.
pub fn remedy(manager: &str, drift: Option<&Drift>, observation: &Observation) -> String {
    let target = &observation.count.spec.scale_target_ref;
    // The core group has no name in Kubernetes.
    let (kind, name, group) = (&target.kind, &target.name, target.api_version.split_once('/').map(|(group, _)| group));
    let desired = observation.count.desired(observation.at).unwrap_or(observation.count.spec.replicas);
    let resource = format!("{}.{}/{name}", kind.to_lowercase(), group.unwrap_or(CORE_GROUP));
    let is_apply = drift.is_some_and(|drift| &*drift.operation == "Apply");
    let path = observation.kind.known().map_or_else(FieldPath::replicas, |kind| kind.replicas.clone());
    let (pointer, field) = (path.pointer(), path.names().next_back().unwrap_or_default());
    match manager {
        "helm" => format!(
            "leave {field} out of the chart's template: {{{{- if not .Values.held }}}} … {{{{- end }}}} around the line \
            `{field}:`, and upgrade with --set held=true"
        ),
        "helm-controller" => format!(
            "leave {field} out of the chart's values, and set in the HelmRelease: spec: {{driftDetection: {{ignore: \
            [{{paths: [{pointer}], target: {{kind: {kind}, name: {name}}}}}]}}}}"
        ),
        "kustomize-controller" | "flux" => format!(
            "set in the Kustomization: spec: {{ignore: [{{paths: [{pointer}], target: {{kind: {kind}, name: {name}}}}}]}}"
        ),
        "argocd-controller" | "argocd-application-controller" | "argocd-server" => format!(
            "set in the Application: spec: {{ignoreDifferences: [{{group: {}, kind: {kind}, jsonPointers: \
            [{pointer}]}}], syncPolicy: {{syncOptions: [RespectIgnoreDifferences=true]}}}}",
            group.unwrap_or("''")
        ),
        "kube-controller-manager" => {
            format!("delete the HorizontalPodAutoscaler that scales {resource}: `kubectl get hpa` lists them")
        }
        "autoscaler" => format!(
            "if it is Knative, give the Service the annotations autoscaling.knative.dev/min-scale and max-scale: \"{desired}\""
        ),
        "cluster-autoscaler" => format!(
            "give {resource} the annotations cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size and max-size: \"{desired}\""
        ),
        "unknown" => remedy_of_unknown(&resource, drift),
        _ if manager.starts_with("keda") => {
            "pause the ScaledObject: `kubectl annotate scaledobject NAME autoscaling.keda.sh/paused=true`".to_owned()
        }
        _ if manager == "kubectl-client-side-apply" || manager == "kubectl" && is_apply => format!(
            "somebody applies a manifest or a kustomization with another count: take {field} out of it, or run `kubectl \
            replicas set {resource} COUNT` with its count"
        ),
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

/// What to do about changes of which Kubernetes records no field manager. A review of admission may name the user.
fn remedy_of_unknown(resource: &str, drift: Option<&Drift>) -> String {
    match drift.map(|drift| &*drift.user).filter(|user| !user.is_empty()) {
        Some(user) => format!("{user} did so last: ask for `kubectl replicas set {resource} COUNT` instead"),
        None => "Kubernetes does not record who: the audit log of the API server has the user".to_owned(),
    }
}

/// How KEDA names the HorizontalPodAutoscaler of a ScaledObject.
const KEDA_PREFIX: &str = "keda-hpa-";

/// What to do about a HorizontalPodAutoscaler of the target. KEDA would create its own again.
pub fn remedy_of_autoscaler(autoscaler: &str) -> String {
    match autoscaler.strip_prefix(KEDA_PREFIX) {
        Some(scaled) => format!(
            "pause KEDA by `kubectl annotate scaledobject {scaled} autoscaling.keda.sh/paused=true`, or delete this \
            ReplicaCount"
        ),
        None => format!("delete either it by `kubectl delete hpa {autoscaler}` or this ReplicaCount"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        enforcement::fixtures::{Managed, TargetFixture, target},
        index::KindState,
        resources::TargetKind,
    };

    fn said(manager: &str, state: TargetFixture) -> String {
        let mut managed = Managed::at(3);
        managed.see(0, state);
        remedy(manager, None, &managed.observation)
    }

    #[test]
    fn a_person_and_a_manifest_get_different_remedies() {
        let mut managed = Managed::at(3);
        managed.see(0, target(5, 3));
        for (name, state, expected) in [
            ("scaled", target(6, 7).scaled_by("kubectl"), "a person or a script does it by hand"),
            ("applied", target(7, 8).applied_by("kubectl", 1, true), "somebody applies a manifest or a kustomization"),
        ] {
            let decision = managed.see(1, state);
            let said = remedy("kubectl", decision.drift.as_ref(), &managed.observation);
            assert!(said.starts_with(expected), "{name}: {said}");
        }
    }

    #[test]
    fn kinds_of_the_core_group_are_named_as_the_tools_name_them() {
        let mut managed = Managed::at(3);
        let mut count = (*managed.observation.count).clone();
        count.spec.scale_target_ref.api_version = "v1".to_owned();
        count.spec.scale_target_ref.kind = "ReplicationController".to_owned();
        managed.observation.count = std::sync::Arc::new(count);
        let said = |manager| remedy(manager, None, &managed.observation);
        assert!(said("kubectl").contains("kubectl replicas set replicationcontroller.core/web COUNT"));
        assert!(said("argocd-controller").contains("group: '', kind: ReplicationController"));
    }

    #[test]
    fn a_count_elsewhere_is_named_by_its_own_path() {
        let mut managed = Managed::at(3);
        let KindState::Watched(kind) = managed.observation.kind.clone() else { panic!("it is watched") };
        let kind = TargetKind { replicas: FieldPath::new(".spec.pool.size"), ..(*kind).clone() };
        managed.observation.kind = KindState::Watched(kind.into());
        for (manager, expected) in [
            ("helm", "{{- if not .Values.held }} … {{- end }} around the line `size:`"),
            ("helm-controller", "ignore: [{paths: [/spec/pool/size], target: {kind: Deployment, name: web}}]"),
            ("kustomize-controller", "ignore: [{paths: [/spec/pool/size], target: {kind: Deployment, name: web}}]"),
            ("argocd-controller", "kind: Deployment, jsonPointers: [/spec/pool/size]}]"),
            ("kubectl-client-side-apply", "take size out of it"),
        ] {
            let said = remedy(manager, None, &managed.observation);
            assert!(said.contains(expected) && !said.contains("replicas]"), "{manager}: {said}");
        }
    }

    #[test]
    fn a_user_is_named_where_kubernetes_records_no_manager() {
        let mut managed = Managed::at(3);
        managed.see(0, target(5, 3));
        let drift = managed.see(1, target(6, 0)).drift.unwrap();
        for (name, user, expected) in [
            ("not known", "", "Kubernetes does not record who: the audit log of the API server has the user"),
            ("known", "alice", "alice did so last: ask for `kubectl replicas set deployment.apps/web COUNT` instead"),
        ] {
            let drift = Drift { user: user.into(), ..drift.clone() };
            assert_eq!(remedy("unknown", Some(&drift), &managed.observation), expected, "{name}");
        }
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
                expected: "manifest or a kustomization with another count",
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
    fn an_autoscaler_of_keda_is_paused_and_another_one_deleted() {
        let [hpa, keda] = [include_str!("../../../docs/tools/hpa.md"), include_str!("../../../docs/tools/keda.md")];
        for (autoscaler, expected, page) in [
            ("web", "delete either it by `kubectl delete hpa web` or this ReplicaCount", hpa),
            ("keda-hpa-web", "`kubectl annotate scaledobject web autoscaling.keda.sh/paused=true`", keda),
        ] {
            let said = remedy_of_autoscaler(autoscaler);
            assert!(said.contains(expected), "{said}");
            let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(page.contains(expected.trim_matches('`')), "{autoscaler}: its page has it too");
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
