//! The kinds of the targets.

use anyhow::Result;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::custom_resources::{Definition, Kind};
use support::{Namespace, manifests::Workload};

/// A kind of targets, and whether they have pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A paused Deployment, which has no pods.
    Deployment,
    /// A Deployment with pods.
    WithPods,
    /// A StatefulSet whose pods fit no node.
    StatefulSet,
    /// A custom resource.
    Widget,
}

impl Form {
    /// One form of each kind.
    pub(super) const KINDS: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::Widget];

    /// Creates the kind of the custom resources, with the server's rights to it.
    pub(super) async fn create_widgets(shop: &Namespace<'_>) -> Result<()> {
        let kind = Kind::new(shop);
        kind.define(Definition { has_ready: true, ..Definition::of("v1") }).await?;
        kind.grant().await
    }

    /// The kind in a namespace, which the group of custom resources is named after.
    pub(super) fn resource(self, namespace: &str) -> ApiResource {
        let (group, kind) = match self {
            Self::Deployment | Self::WithPods => ("apps".to_owned(), "Deployment"),
            Self::StatefulSet => ("apps".to_owned(), "StatefulSet"),
            Self::Widget => (format!("{namespace}.example.com"), "Widget"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1", kind))
    }

    /// The manifest of an object.
    pub(super) fn manifest(self, namespace: &str, name: &str, count: i32) -> Result<Value> {
        let manifest = |workload: Workload<'_>| serde_yaml::from_str::<Value>(&workload.replicas(count).manifest());
        Ok(match self {
            Self::Deployment => manifest(Workload::deployment(name).without_pods())?,
            Self::WithPods => manifest(Workload::deployment(name))?,
            Self::StatefulSet => {
                let mut manifest = manifest(Workload::stateful_set(name))?;
                manifest["spec"]["template"]["spec"]["nodeSelector"] = json!({"fits": "none"});
                manifest
            }
            Self::Widget => {
                let ApiResource { api_version, kind, .. } = self.resource(namespace);
                json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {"replicas": count}})
            }
        })
    }
}
