//! Who else decides about a count: a Set by us would be undone, or undo what somebody else means.

use super::error::Error;
use crate::api::{FieldPath, Owners, ReplicaCount, TargetKey, TargetState};

/// Refuses a target that an autoscaler scales.
pub(super) fn check_autoscaler(key: &TargetKey, autoscaler: Option<&str>) -> Result<(), Error> {
    let Some(autoscaler) = autoscaler else { return Ok(()) };
    let message =
        format!("HorizontalPodAutoscaler {autoscaler} scales {key}: delete it first, or force the count against it");
    Err(Error::Precondition { reason: "AUTOSCALED", message })
}

/// Refuses a ReplicaSet that another object controls, which would put its own count back at once.
pub(super) fn check_controller(key: &TargetKey, target: Option<&TargetState>) -> Result<(), Error> {
    match target.and_then(|target| target.controller.as_deref()) {
        Some(controller) if key.kind.is_replica_set() => {
            let message = format!("{controller} decides about the count of {key}: set that one");
            Err(Error::Precondition { reason: "CONTROLLED", message })
        }
        _ => Ok(()),
    }
}

/// Refuses a `ReplicaCount` that another tool keeps: its next sync would undo what is written here.
pub(super) fn check_owner(count: &ReplicaCount) -> Result<(), Error> {
    let Some(owner) = owner(count) else { return Ok(()) };
    let name = count.metadata.name.as_deref().unwrap_or_default();
    let message = format!("ReplicaCount {name} belongs to {owner}: change it there, or force the change against it");
    Err(Error::Precondition { reason: "OWNED_BY_OTHER", message })
}

/// The tool that keeps a `ReplicaCount`, by the marks that tools leave on what they keep, else by server-side apply.
///
/// kubectl is none: whoever applies with it by hand may also set by hand.
fn owner(count: &ReplicaCount) -> Option<String> {
    let label = |name: &str| count.metadata.labels.as_ref()?.get(name);
    let annotation = |name: &str| count.metadata.annotations.as_ref()?.get(name);
    for (tool, prefix) in
        [("the Flux Kustomization", "kustomize.toolkit.fluxcd.io"), ("the Flux HelmRelease", "helm.toolkit.fluxcd.io")]
    {
        if let Some(name) = label(&format!("{prefix}/name")) {
            let namespace = label(&format!("{prefix}/namespace")).map(|name| format!("{name}/")).unwrap_or_default();
            return Some(format!("{tool} {namespace}{name}"));
        }
    }
    // <application>:<group>/<kind>:<namespace>/<name>
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        return Some(format!("the Argo CD application {}", id.split(':').next().unwrap_or(id)));
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        let namespace = annotation("meta.helm.sh/release-namespace").map(|name| format!("{name}/")).unwrap_or_default();
        return Some(format!("the Helm release {namespace}{release}"));
    }
    let owners = Owners::of(count.metadata.managed_fields.as_deref().unwrap_or_default(), &FieldPath::replicas());
    let applier = owners.appliers.into_iter().find(|applier| applier.owns && &*applier.manager != "kubectl")?;
    Some(format!("{}, by server-side apply", applier.manager))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner_of(metadata: Value) -> Option<String> {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let object = json!({
            "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount", "metadata": metadata,
            "spec": {"scaleTargetRef": target, "replicas": 3},
        });
        owner(&serde_json::from_value(object).unwrap())
    }

    fn applied_by(manager: &str, operation: &str) -> Value {
        let fields = json!({"f:spec": {"f:replicas": {}}});
        json!({"managedFields": [{"manager": manager, "operation": operation, "fieldsV1": fields}]})
    }

    #[test]
    fn each_tool_is_known_by_its_marks() {
        for (metadata, expected) in [
            (json!({}), None),
            (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), None),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "prod"}}),
                Some("the Helm release prod/shop"),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x/ReplicaCount:prod/deployment.web"}}),
                Some("the Argo CD application shop"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux"}}),
                Some("the Flux Kustomization flux/shop"),
            ),
            (
                json!({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}, "annotations": {"meta.helm.sh/release-name": "x"}}),
                Some("the Flux HelmRelease shop"),
            ),
            (applied_by("argocd-controller", "Apply"), Some("argocd-controller, by server-side apply")),
            (applied_by("kubectl", "Apply"), None),
            (applied_by("kubectl-edit", "Update"), None),
            (applied_by("replica-count-manager", "Update"), None),
        ] {
            assert_eq!(owner_of(metadata.clone()).as_deref(), expected, "{metadata}");
        }
    }
}
