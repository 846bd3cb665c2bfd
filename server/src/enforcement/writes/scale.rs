//! The write to `/scale`: the only one that this server makes to a target, apart from the return of its ownership.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;

use crate::resources::{FIELD_MANAGER, TargetKey, TargetKind};

/// Sets a target's count. A merge patch: unlike server-side apply, it works on the `/scale` of every kind.
///
/// # Errors
///
/// When the API server refuses or cannot be reached.
pub async fn patch(client: &Client, key: &TargetKey, kind: &TargetKind, replicas: i32) -> Result<Scale, Error> {
    let targets: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, &kind.resource());
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    targets.patch_scale(&key.name, &PatchParams::apply(FIELD_MANAGER), &patch).await
}
