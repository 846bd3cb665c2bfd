//! ReplicaCounts as objects of the Kubernetes API, for `kubectl apply` and `kubectl diff`: only what a user writes.

use contract::{
    names::{CORE_GROUP, GROUP, replica_count_name},
    replicas::v1,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::spec::{self, Override};

/// An object of the API.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    api_version: String,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

/// Objects of the API, as kubectl writes them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Manifest>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    scale_target_ref: ScaleTargetRef,
    replicas: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    override_: Option<Override>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScaleTargetRef {
    api_version: String,
    kind: String,
    name: String,
}

/// The object of a managed target whose kind has this version. An override that is over has no effect and is left out.
pub(crate) fn of(count: v1::ReplicaCount, version: &str, now: Timestamp) -> Option<Manifest> {
    let spec = spec::Spec::of(&count)?;
    let v1::Target { namespace, group, kind, name } = count.target?;
    // The server leaves neither out; these are the meanings of empty fields on the wire.
    let group = if group.is_empty() { "apps".to_owned() } else { group };
    let kind = if kind.is_empty() { "Deployment".to_owned() } else { kind };
    let object = replica_count_name(&kind, &group, &name);
    let api_version = match group.as_str() {
        CORE_GROUP => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    let scale_target_ref = ScaleTargetRef { api_version, kind, name };
    Some(Manifest {
        api_version: format!("{GROUP}/v1"),
        kind: "ReplicaCount",
        metadata: Metadata { name: object, namespace },
        spec: Spec {
            scale_target_ref,
            replicas: spec.replicas,
            override_: spec.active_override(now).cloned(),
            reason: spec.reason,
        },
    })
}

/// The list of several objects.
pub(crate) fn list(items: Vec<Manifest>) -> List {
    List { api_version: "v1", kind: "List", items }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::to_proto;

    #[test]
    fn a_manifest_holds_what_a_user_writes() {
        let until: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let [group, kind] = ["argoproj.io", "Rollout"].map(str::to_owned);
        let target = v1::Target { namespace: "shop".to_owned(), group, kind, name: "web".to_owned() };
        let over = v1::Override { replicas: Some(10), until: Some(to_proto(until)), ..v1::Override::default() };
        let count = v1::ReplicaCount {
            target: Some(target),
            desired: Some(10),
            replicas: Some(3),
            original_replicas: Some(2),
            set_by: "alice".to_owned(),
            reason: "usual".to_owned(),
            r#override: Some(over),
            ..v1::ReplicaCount::default()
        };
        let object = |now| serde_json::to_value(of(count.clone(), "v1alpha1", now)).unwrap();
        let mut expected = json!({
            "apiVersion": "replica-count-manager.io/v1",
            "kind": "ReplicaCount",
            "metadata": {"name": "rollout.argoproj.io.web", "namespace": "shop"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web"},
                "replicas": 3,
                "reason": "usual",
                "override": {"replicas": 10, "until": "2026-11-23T18:00:00Z"},
            },
        });
        assert_eq!(object(Timestamp::UNIX_EPOCH), expected);
        expected["spec"].as_object_mut().unwrap().remove("override");
        assert_eq!(object(until), expected, "it is over");
    }

    #[test]
    fn a_target_of_the_core_group_has_an_api_version_without_a_group() {
        let [group, kind] = [CORE_GROUP, "ReplicationController"].map(str::to_owned);
        let target = v1::Target { namespace: "shop".to_owned(), group, kind, name: "web".to_owned() };
        let count = v1::ReplicaCount { target: Some(target), replicas: Some(1), ..v1::ReplicaCount::default() };
        let manifest = of(count, "v1", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(manifest.metadata.name, "replicationcontroller.core.web");
        assert_eq!(manifest.spec.scale_target_ref.api_version, "v1");
    }

    #[test]
    fn a_target_that_is_not_managed_has_none() {
        let target = v1::Target { name: "web".to_owned(), ..v1::Target::default() };
        let count = v1::ReplicaCount { target: Some(target), observed: Some(1), ..v1::ReplicaCount::default() };
        assert!(of(count.clone(), "v1", Timestamp::UNIX_EPOCH).is_none());
        let managed = of(v1::ReplicaCount { replicas: Some(1), ..count }, "v1", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            (managed.metadata.name.as_str(), managed.spec.scale_target_ref.api_version.as_str()),
            ("deployment.web", "apps/v1")
        );
    }
}
