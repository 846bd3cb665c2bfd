//! Publishes the ports of a pod for kwok, which serves port-forwards.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::source::Source;

/// Maps each port of the pod to a port of this machine. The object is deleted with its pod.
pub(super) async fn publish(source: &Source, ports: &BTreeMap<u16, u16>) -> Result<()> {
    let pod = &source.pod;
    let name = pod.name_any();
    let target = |host: &u16| json!({"address": "127.0.0.1", "port": host});
    let forwards = ports.iter().map(|(port, host)| json!({"ports": [port], "target": target(host)}));
    let object = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "PortForward",
        "metadata": {
            "name": name,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod.uid()}],
        },
        "spec": {"forwards": forwards.collect::<Vec<_>>()},
    });
    let parameters = PatchParams::apply("kubelet").force();
    let applied = api(source.client(), &pod.namespace().unwrap_or_default())
        .patch(&name, &parameters, &Patch::Apply(&object))
        .await;
    applied.context("failed to publish the pod's ports")?;
    Ok(())
}

fn api(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kwok.x-k8s.io", "v1alpha1", "PortForward");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk_with_plural(&kind, "portforwards"))
}
