//! Many Deployments, some of them managed, as in a cluster where nothing has happened for a while.

use std::ops::Range;

use anyhow::{Context, Result};
use cluster::wait;
use contract::replicas::v1;
use futures::{TryStreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use replica_count_manager::resources::{FIELD_MANAGER, ReplicaCount, ReplicaCountSpec, ScaleTargetRef, TargetKey};
use serde_json::{Value, json};

use crate::{PATIENCE, stage::Stage};

/// An application as its chart would install it.
const APPLICATION: &str = include_str!("application.yaml");

/// The names in it that a copy has others for.
const NAME: &str = "the-original";
const NAMESPACE: &str = "the-namespace";

/// How many namespaces a fleet is spread over.
const NAMESPACES: usize = 100;

/// The count that every managed Deployment of a fleet is held at.
pub(crate) const REPLICAS: i32 = 3;

/// The namespace of a fleet's member.
pub(crate) fn namespace(member: usize) -> String {
    format!("team-{:02}", member % NAMESPACES)
}

/// The name of a fleet's member.
pub(crate) fn name(member: usize) -> String {
    format!("application-{member:06}")
}

/// The name of a Deployment's ReplicaCount.
pub(crate) fn count_name(deployment: &str) -> String {
    format!("deployment.{deployment}")
}

/// The ReplicaCount of a Deployment.
pub(crate) fn replica_count(deployment: &str) -> ReplicaCount {
    let scale_target_ref =
        ScaleTargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: deployment.into() };
    let spec = ReplicaCountSpec {
        scale_target_ref,
        replicas: REPLICAS,
        original_replicas: Some(REPLICAS),
        reason: String::new(),
        override_: None,
    };
    ReplicaCount::new(&count_name(deployment), spec)
}

/// The key of a fleet's member.
pub(crate) fn key(member: usize) -> Result<TargetKey> {
    Ok(TargetKey::new(&namespace(member), "", "", &name(member))?)
}

/// The same for our API.
pub(crate) fn target(member: usize) -> v1::Target {
    v1::Target { namespace: namespace(member), name: name(member), ..v1::Target::default() }
}

/// A fleet that can grow.
pub(crate) struct Fleet<'a> {
    stage: &'a Stage,
    deployment: String,
    count: String,
}

impl Fleet<'_> {
    /// Stores Deployments that nothing remains to be done about: each has what the API server and the controllers of
    /// Kubernetes add in time.
    pub(crate) async fn grow(&self, members: Range<usize>) -> Result<()> {
        self.stage.cluster.populate("deployments", members.map(|member| copy(&self.deployment, member))).await
    }

    /// Stores their ReplicaCounts, with the status that the server would give them.
    pub(crate) async fn manage(&self, members: Range<usize>) -> Result<()> {
        let counts = members.map(|member| copy(&self.count, member));
        self.stage.cluster.populate("replica-count-manager.io/replicacounts", counts).await
    }
}

/// Whether this is what the members are copies of.
pub(crate) fn is_original(metadata: &ObjectMeta) -> bool {
    metadata.namespace.as_deref() == Some(NAMESPACE)
}

impl Stage {
    /// A fleet without members.
    pub(crate) async fn fleet(&self) -> Result<Fleet<'_>> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        stream::iter((0..NAMESPACES).map(namespace).chain([NAMESPACE.to_owned()]).map(Ok))
            .try_for_each_concurrent(16, async |name| {
                let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
                let namespace = Namespace { metadata, ..Namespace::default() };
                namespaces.create(&PostParams::default(), &namespace).await.map(drop)
            })
            .await?;
        let deployment = self.original_deployment().await?;
        Ok(Fleet { stage: self, deployment, count: self.original_count().await? })
    }

    /// A fleet whose members are all managed.
    pub(crate) async fn managed_fleet(&self, members: usize) -> Result<()> {
        let fleet = self.fleet().await?;
        fleet.grow(0..members).await?;
        fleet.manage(0..members).await
    }

    async fn original_deployment(&self) -> Result<String> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let application: Value = serde_yaml::from_str(APPLICATION)?;
        api.patch(NAME, &PatchParams::apply("helm"), &Patch::Apply(&application)).await?;
        let condition = |type_: &str, reason: &str, message: &str| {
            let time = "2026-11-02T09:21:07Z";
            json!({"type": type_, "status": "True", "reason": reason, "message": message,
                "lastUpdateTime": time, "lastTransitionTime": time})
        };
        let rollout = format!("ReplicaSet \"{NAME}-5d9c7b8f6d\" has successfully progressed.");
        let status = json!({
            "metadata": {"annotations": {"deployment.kubernetes.io/revision": "14"}},
            "status": {
                "observedGeneration": 1, "replicas": REPLICAS, "updatedReplicas": REPLICAS,
                "readyReplicas": REPLICAS, "availableReplicas": REPLICAS,
                "conditions": [
                    condition("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
                    condition("Progressing", "NewReplicaSetAvailable", &rollout),
                ],
            },
        });
        let controller =
            PatchParams { field_manager: Some("kube-controller-manager".into()), ..PatchParams::default() };
        let stored = api.patch_status(NAME, &controller, &Patch::Merge(status)).await?;
        Ok(serde_json::to_string(&stored)?)
    }

    /// The ReplicaCount of the original Deployment, with the status that the server writes.
    async fn original_count(&self) -> Result<String> {
        let api: Api<ReplicaCount> = Api::namespaced(self.client.clone(), NAMESPACE);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        api.create(&parameters, &replica_count(NAME)).await?;
        let _server = self.server().await?;
        let stored = wait::until("a ReplicaCount that is ready", PATIENCE, async || {
            let count = api.get(&count_name(NAME)).await?;
            let status = count.status.as_ref().context("it has no status")?;
            let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            ready.then_some(count).context("it is not ready")
        });
        Ok(serde_json::to_string(&stored.await?)?)
    }
}

/// A stored object under the names of a member.
fn copy(original: &str, member: usize) -> Result<Value> {
    let copy = original.replace(NAME, &name(member)).replace(NAMESPACE, &namespace(member));
    Ok(serde_json::from_str(&copy)?)
}
