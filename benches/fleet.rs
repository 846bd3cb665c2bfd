//! Many Deployments, some of them managed, as in a cluster where nothing has happened for a while.

use anyhow::{Context, Result};
use cluster::wait;
use futures::{TryStreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use replica_count_manager::api::{ReplicaCount, ReplicaCountSpec, ScaleTargetRef};
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
    ReplicaCount::new(&format!("deployment.{deployment}"), spec)
}

impl Stage {
    /// Stores so many Deployments, the first ones with a ReplicaCount. Each has what the API server, the controllers of
    /// Kubernetes and our server add in time, so that nothing remains to be done about it.
    pub(crate) async fn fill(&self, deployments: usize, managed: usize) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        stream::iter((0..NAMESPACES).map(namespace).chain([NAMESPACE.to_owned()]).map(Ok))
            .try_for_each_concurrent(16, async |name| {
                let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
                let namespace = Namespace { metadata, ..Namespace::default() };
                namespaces.create(&PostParams::default(), &namespace).await.map(drop)
            })
            .await?;
        let deployment = self.original_deployment().await?;
        let count = self.original_count().await?;
        self.cluster.populate("deployments", (0..deployments).map(|member| copy(&deployment, member))).await?;
        let counts = (0..managed).map(|member| copy(&count, member));
        self.cluster.populate("replica-count-manager.io/replicacounts", counts).await
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
        let parameters = PostParams { field_manager: Some("replica-count-manager".into()), ..PostParams::default() };
        api.create(&parameters, &replica_count(NAME)).await?;
        let _server = self.server().await?;
        let stored = wait::until("a ReplicaCount that is ready", PATIENCE, async || {
            let count = api.get(NAME_OF_COUNT).await?;
            let status = count.status.as_ref().context("it has no status")?;
            let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            ready.then_some(count).context("it is not ready")
        });
        Ok(serde_json::to_string(&stored.await?)?)
    }
}

const NAME_OF_COUNT: &str = "deployment.the-original";

/// A stored object under the names of a member.
fn copy(original: &str, member: usize) -> Result<Value> {
    let copy = original.replace(NAME, &name(member)).replace(NAMESPACE, &namespace(member));
    Ok(serde_json::from_str(&copy)?)
}
