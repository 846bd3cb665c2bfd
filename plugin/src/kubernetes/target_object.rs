//! What the object of a target says about its count: who wrote it, who applies it, and what the object belongs to.

use std::{collections::BTreeMap, time::Duration};

use contract::{
    names::{GROUP, replica_count_name},
    replicas::v1::Target,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::{
    Api,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::{cluster::Cluster, error::Error, request::send, unready};

/// The most characters that are kept of a name in a label or an annotation: no object has a longer name.
const MAX_NAME: usize = 253;

/// The most appliers that are kept: more do not fit in a sentence.
const MAX_APPLIERS: usize = 10;

/// A target as the API server has it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TargetObject {
    pub(crate) replicas: Option<i32>,
    pub(crate) ready: Option<i32>,
    /// The object that controls it, such as `Kafka events`.
    pub(crate) controller: Option<String>,
    /// The tool that made it, such as `the Helm release shop/web`.
    pub(crate) tool: Option<String>,
    /// The last writer of the count; None if Kubernetes does not record one.
    pub(crate) last_writer: Option<Writer>,
    /// The field managers that own the count by server-side apply.
    pub(crate) appliers: Vec<String>,
}

/// A field manager that wrote a count.
#[derive(Debug, PartialEq)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    /// How it wrote: Update or Apply.
    pub(crate) operation: String,
    /// The subresource that it wrote to; empty for the object itself.
    pub(crate) subresource: String,
    /// When it wrote. Entries of `/scale` have no time.
    pub(crate) at: Option<Timestamp>,
}

/// Reads the target's object. Returns None if there is no such target.
pub(crate) async fn target_object(
    cluster: &Cluster,
    target: &Target,
    limit: Duration,
) -> Result<Option<TargetObject>, Error> {
    let client = cluster.client().await?;
    let resource = unready::resource(cluster, target, limit).await?;
    let objects: Api<DynamicObject> = Api::namespaced_with(client, &target.namespace, &resource);
    let action = format!("get {}/{} in the namespace {}", resource.plural, target.name, target.namespace);
    let object = send(limit, action, objects.get_opt(&target.name)).await?;
    Ok(object.map(|object| describe(&object)))
}

/// The tool that manages the target's ReplicaCount, if there are both.
pub(crate) async fn replica_count_tool(
    cluster: &Cluster,
    target: &Target,
    limit: Duration,
) -> Result<Option<String>, Error> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "ReplicaCount"));
    let objects: Api<DynamicObject> = Api::namespaced_with(cluster.client().await?, &target.namespace, &resource);
    let name = replica_count_name(&target.kind, &target.group, &target.name);
    let action = format!("get replicacounts/{name} in the namespace {}", target.namespace);
    let object = send(limit, action, objects.get_metadata_opt(&name)).await?;
    Ok(object.and_then(|object| tool(&object.metadata)))
}

fn describe(object: &DynamicObject) -> TargetObject {
    let count = |part: &str, field: &str| object.data[part][field].as_i64().and_then(|count| count.try_into().ok());
    let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    let entries = object.metadata.managed_fields.as_deref().unwrap_or_default();
    let has_status = object.data["status"].is_object();
    TargetObject {
        replicas: count("spec", "replicas"),
        // The API server leaves out a 0.
        ready: count("status", "readyReplicas").or(has_status.then_some(0)),
        controller: controller.map(|owner| format!("{} {}", owner.kind, owner.name)),
        tool: tool(&object.metadata),
        last_writer: last_writer(entries),
        appliers: appliers(entries),
    }
}

/// The tool that made an object, by its labels and annotations.
fn tool(metadata: &ObjectMeta) -> Option<String> {
    let label = |name: &str| value(metadata.labels.as_ref(), name);
    let annotation = |name: &str| value(metadata.annotations.as_ref(), name);
    let within = |namespace: Option<String>, name: &str| match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    for (kind, prefix) in [("Kustomization", "kustomize"), ("HelmRelease", "helm")] {
        if let Some(name) = label(&format!("{prefix}.toolkit.fluxcd.io/name")) {
            let namespace = label(&format!("{prefix}.toolkit.fluxcd.io/namespace"));
            return Some(format!("the Flux {kind} {}", within(namespace, &name)));
        }
    }
    // The annotation's format is <application>:<group>/<kind>:<namespace>/<name>.
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        return Some(format!("the Argo CD application {}", id.split(':').next().unwrap_or(&id)));
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        return Some(format!("the Helm release {}", within(annotation("meta.helm.sh/release-namespace"), &release)));
    }
    label("app.kubernetes.io/managed-by")
}

fn value(map: Option<&BTreeMap<String, String>>, name: &str) -> Option<String> {
    let value = map?.get(name)?;
    (!value.is_empty()).then(|| value.chars().take(MAX_NAME).collect())
}

fn owns_count(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0["f:spec"]["f:replicas"].is_object())
}

/// The last writer of the count. Entries of `/scale` come first, because they have no time to compare: a later write to
/// the object takes the count from them.
fn last_writer(entries: &[ManagedFieldsEntry]) -> Option<Writer> {
    let rank = |entry: &&ManagedFieldsEntry| {
        (entry.subresource.as_deref() == Some("scale"), entry.time.as_ref().map(|time| time.0))
    };
    let entry = entries.iter().filter(|entry| owns_count(entry)).max_by_key(rank)?;
    Some(Writer {
        manager: entry.manager.clone().unwrap_or_default(),
        operation: entry.operation.clone().unwrap_or_default(),
        subresource: entry.subresource.clone().unwrap_or_default(),
        at: entry.time.as_ref().map(|time| time.0),
    })
}

fn appliers(entries: &[ManagedFieldsEntry]) -> Vec<String> {
    let applies = |entry: &&ManagedFieldsEntry| entry.operation.as_deref() == Some("Apply") && owns_count(entry);
    entries.iter().filter(applies).filter_map(|entry| entry.manager.clone()).take(MAX_APPLIERS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(metadata: Value) -> TargetObject {
        let mut metadata = metadata;
        metadata["name"] = "web".into();
        describe(&serde_json::from_value(json!({"metadata": metadata, "spec": {"replicas": 3}})).unwrap())
    }

    fn entry(manager: &str, operation: &str, subresource: Option<&str>, hour: Option<u8>) -> Value {
        json!({"manager": manager, "operation": operation, "subresource": subresource,
               "time": hour.map(|hour| format!("2026-01-01T{hour:02}:00:00Z")),
               "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    }

    #[test]
    fn the_last_writer_is_the_one_of_scale_or_else_the_latest() {
        let helm = entry("helm", "Apply", None, Some(1));
        let edit = entry("kubectl-edit", "Update", None, Some(2));
        let scale = entry("kubectl", "Update", Some("scale"), None);
        let status = json!({"manager": "x", "operation": "Update", "fieldsV1": {"f:status": {"f:replicas": {}}}});
        for (name, entries, writer, appliers) in [
            ("none", json!([]), None, &[][..]),
            ("a status", json!([status]), None, &[]),
            ("applied", json!([helm, status]), Some("helm"), &["helm"]),
            ("edited", json!([edit, helm]), Some("kubectl-edit"), &["helm"]),
            ("scaled", json!([scale, edit]), Some("kubectl"), &[]),
        ] {
            let object = object(json!({"managedFields": entries}));
            assert_eq!(object.last_writer.map(|writer| writer.manager).as_deref(), writer, "{name}");
            assert_eq!(object.appliers, appliers, "{name}");
        }
    }

    #[test]
    fn an_object_says_what_it_belongs_to() {
        let long = "x".repeat(1000);
        for (name, metadata, tool) in [
            ("nothing", json!({}), None),
            (
                "Helm",
                json!({"annotations": {"meta.helm.sh/release-name": "a", "meta.helm.sh/release-namespace": "shop"}}),
                Some("the Helm release shop/a"),
            ),
            (
                "Argo CD",
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "a:apps/Deployment:shop/web"}}),
                Some("the Argo CD application a"),
            ),
            (
                "Flux",
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "a", "app.kubernetes.io/managed-by": "Helm"}}),
                Some("the Flux Kustomization a"),
            ),
            ("another", json!({"labels": {"app.kubernetes.io/managed-by": "strimzi"}}), Some("strimzi")),
            ("long", json!({"labels": {"app.kubernetes.io/managed-by": long}}), Some(&long[..MAX_NAME])),
        ] {
            assert_eq!(object(metadata).tool.as_deref(), tool, "{name}");
        }
        let owner = |controller: bool| {
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Kafka", "name": "events", "uid": "1",
                                        "controller": controller}]})
        };
        assert_eq!(object(owner(true)).controller.as_deref(), Some("Kafka events"));
        assert_eq!((object(owner(false)).controller, object(owner(true)).replicas), (None, Some(3)));
    }
}
