//! The little of a `ReplicaCount` that is kept.

use std::sync::Arc;

use kube::core::ObjectMeta;

use super::{
    FieldOwners, FieldPath, ReplicaCount, ReplicaCountSpec, ReplicaCountStatus, SET_BY, Uid, resource_version,
};

/// What is kept of a `ReplicaCount`: an object as the API server sends it takes three times as much memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaCountState {
    /// The UID.
    pub uid: Uid,
    /// The resource version, as a number.
    pub resource_version: u64,
    /// The generation of the spec.
    pub generation: Option<i64>,
    /// Whether it is being deleted, and waits for somebody's finalizer.
    pub deleting: bool,
    /// Whether it has annotations.
    pub annotated: bool,
    /// Who set the lasting count: the user of our API if our write was the last, else the field manager that wrote it.
    pub set_by: Box<str>,
    /// The tool that keeps it, and would undo what others write, such as `the Helm release shop`.
    pub managed_by: Option<Box<str>>,
    /// What should hold.
    pub spec: ReplicaCountSpec,
    /// What was seen, as it is stored.
    pub status: Arc<ReplicaCountStatus>,
}

impl From<ReplicaCount> for ReplicaCountState {
    fn from(object: ReplicaCount) -> Self {
        let ReplicaCount { metadata, spec, status } = object;
        let owners = FieldOwners::of(metadata.managed_fields.as_deref().unwrap_or_default(), &FieldPath::replicas());
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            resource_version: resource_version(&metadata),
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            annotated: metadata.annotations.is_some(),
            set_by: set_by(&metadata, &owners),
            managed_by: managed_by(&metadata, &owners),
            spec,
            status: Arc::new(status.unwrap_or_default()),
        }
    }
}

fn set_by(metadata: &ObjectMeta, owners: &FieldOwners) -> Box<str> {
    let annotated = || metadata.annotations.as_ref()?.get(SET_BY).map(String::as_str);
    match owners.last() {
        Some(writer) if writer.is_ours() => annotated().unwrap_or_default().into(),
        Some(writer) => (*writer.manager).into(),
        None => Box::default(),
    }
}

/// The tool that keeps a `ReplicaCount`, by the marks that tools leave on what they keep, else by server-side apply.
///
/// kubectl is none: whoever applies with it by hand may also set by hand.
fn managed_by(metadata: &ObjectMeta, owners: &FieldOwners) -> Option<Box<str>> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name);
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name);
    for (tool, prefix) in
        [("the Flux Kustomization", "kustomize.toolkit.fluxcd.io"), ("the Flux HelmRelease", "helm.toolkit.fluxcd.io")]
    {
        if let Some(name) = label(&format!("{prefix}/name")) {
            let namespace = label(&format!("{prefix}/namespace")).map(|name| format!("{name}/")).unwrap_or_default();
            return Some(format!("{tool} {namespace}{name}").into());
        }
    }
    // <application>:<group>/<kind>:<namespace>/<name>
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        return Some(format!("the Argo CD application {}", id.split(':').next().unwrap_or(id)).into());
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        let namespace = annotation("meta.helm.sh/release-namespace").map(|name| format!("{name}/")).unwrap_or_default();
        return Some(format!("the Helm release {namespace}{release}").into());
    }
    let applier = owners.appliers().find(|applier| applier.owns && &*applier.manager != "kubectl")?;
    Some(format!("{}, by server-side apply", applier.manager).into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn managed_by_of(metadata: Value) -> Option<Box<str>> {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let object = json!({
            "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount", "metadata": metadata,
            "spec": {"scaleTargetRef": target, "replicas": 3},
        });
        ReplicaCountState::from(serde_json::from_value::<ReplicaCount>(object).unwrap()).managed_by
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
            assert_eq!(managed_by_of(metadata.clone()).as_deref(), expected, "{metadata}");
        }
    }
}
