//! The write to `/scale`: the only one that this server makes to a target, apart from the return of its ownership. And
//! the dry run of it, which probes the webhooks.

use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;

use crate::resources::{FIELD_MANAGER, FieldPath, Lenient, TargetKey, TargetKind};

/// Sets a target's count. A merge patch: unlike server-side apply, it works on the `/scale` of every kind.
///
/// # Errors
///
/// When the API server refuses or cannot be reached.
pub async fn patch(client: &Client, key: &TargetKey, kind: &TargetKind, replicas: i32) -> Result<Scale, Error> {
    send(client, key, kind, replicas, &PatchParams::apply(FIELD_MANAGER)).await
}

/// Tries the same without storing anything.
///
/// # Errors
///
/// Like [`patch`].
pub async fn try_patch(client: &Client, key: &TargetKey, kind: &TargetKind, replicas: i32) -> Result<(), Error> {
    let params = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER) };
    send(client, key, kind, replicas, &params).await.map(drop)
}

async fn send(
    client: &Client,
    key: &TargetKey,
    kind: &TargetKind,
    replicas: i32,
    params: &PatchParams,
) -> Result<Scale, Error> {
    let targets: Api<Lenient<DynamicObject>> = Api::namespaced_with(client.clone(), &key.namespace, &kind.resource());
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    Ok(read(targets.patch_subresource("scale", &key.name, params, &patch).await?))
}

/// Reads a Scale of any version: its metadata, and its count. A kind of OpenShift answers with `extensions/v1beta1`,
/// whose status differs from that of `autoscaling/v1`. The write is stored whatever the answer says, so one that cannot
/// be read is an empty Scale.
fn read(answer: Lenient<DynamicObject>) -> Scale {
    let Ok(answer) = answer.read() else { return Scale::default() };
    let replicas = FieldPath::replicas().count_in(&answer.data);
    Scale { metadata: answer.metadata, spec: Some(ScaleSpec { replicas }), status: None }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_scale_of_any_version_is_read() {
        let of = |api_version: &str, status: Value| {
            json!({"apiVersion": api_version, "kind": "Scale", "metadata": {"name": "web", "resourceVersion": "7"},
                   "spec": {"replicas": 3}, "status": status})
        };
        let selector = json!({"replicas": 2, "selector": {"app": "web"}, "targetSelector": "app=web"});
        let odd_metadata = json!({"resourceVersion": "7", "creationTimestamp": "9999-12-31T00:00:00Z", "labels": [1]});
        for (name, answer, expected) in [
            ("usual", of("autoscaling/v1", json!({"replicas": 2, "selector": "app=web"})), (Some("7"), Some(3))),
            ("OpenShift's", of("extensions/v1beta1", selector), (Some("7"), Some(3))),
            ("of the kind's own group", of("apps.openshift.io/v1", json!({})), (Some("7"), Some(3))),
            ("later version", of("autoscaling/v2beta1", json!(null)), (Some("7"), Some(3))),
            ("odd metadata", json!({"metadata": odd_metadata, "spec": {"replicas": 3}}), (Some("7"), Some(3))),
            ("no spec and no status", json!({"metadata": {"resourceVersion": "7"}}), (Some("7"), None)),
            ("an empty spec", json!({"metadata": {"resourceVersion": "7"}, "spec": {}}), (Some("7"), None)),
            ("a count of another type", json!({"metadata": {}, "spec": {"replicas": "3"}}), (None, None)),
            ("no object", json!(1), (None, None)),
        ] {
            let scale = read(serde_json::from_str(&answer.to_string()).unwrap());
            let count = scale.spec.and_then(|spec| spec.replicas);
            assert_eq!((scale.metadata.resource_version.as_deref(), count), expected, "{name}");
        }
    }
}
