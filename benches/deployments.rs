//! Many Deployments, some of them managed, in the state of a cluster at rest.

use std::ops::Range;

use anyhow::{Context, Result};
use cluster::{populate, wait};
use contract::replicas::v1;
use futures::{TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use replica_count_manager::resources::{FIELD_MANAGER, ReplicaCount, ReplicaCountSpec, ScaleTargetRef, TargetKey};
use serde_json::{Value, json};

use crate::{PATIENCE, bench_cluster::BenchCluster, histories};

/// A Deployment as an application's chart would install it.
const APPLICATION: &str = include_str!("application.yaml");

/// The names that each copy replaces by its own.
const NAME: &str = "the-original";
const NAMESPACE: &str = "the-namespace";

/// Where etcd has the Deployments and the ReplicaCounts.
const DEPLOYMENTS: &str = "deployments";
const REPLICA_COUNTS: &str = "replica-count-manager.io/replicacounts";

/// The number of namespaces of the Deployments.
const NAMESPACES: usize = 100;

/// The desired count of every managed Deployment.
pub(crate) const REPLICAS: i32 = 3;

/// The namespace of a Deployment by its index.
pub(crate) fn namespace(index: usize) -> String {
    format!("team-{:02}", index % NAMESPACES)
}

/// The name of a Deployment by its index.
pub(crate) fn name(index: usize) -> String {
    format!("application-{index:06}")
}

/// The name of a Deployment's ReplicaCount.
pub(crate) fn replica_count_name(deployment: &str) -> String {
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
    ReplicaCount::new(&replica_count_name(deployment), spec)
}

/// The key of a Deployment by its index.
pub(crate) fn key(index: usize) -> Result<TargetKey> {
    Ok(TargetKey::new(&namespace(index), "", "", &name(index))?)
}

/// The target of a Deployment in requests, by its index.
pub(crate) fn target(index: usize) -> v1::Target {
    v1::Target { namespace: namespace(index), name: name(index), ..v1::Target::default() }
}

/// Stores Deployments and their ReplicaCounts as copies of an original.
pub(crate) struct Deployments<'a> {
    cluster: &'a BenchCluster,
    deployment: String,
    replica_count: String,
}

impl Deployments<'_> {
    /// Stores Deployments. Each has the fields that the API server and the controllers of Kubernetes add, so that the
    /// controllers need no further writes.
    pub(crate) async fn create(&self, indices: Range<usize>) -> Result<()> {
        self.cluster.control_plane.populate(DEPLOYMENTS, indices.map(|index| copy(&self.deployment, index))).await
    }

    /// Stores the ReplicaCounts of Deployments, with the status that the server would write.
    pub(crate) async fn manage(&self, indices: Range<usize>) -> Result<()> {
        self.store_replica_counts(&self.replica_count, indices).await
    }

    /// Stores the ReplicaCounts of Deployments with full histories.
    pub(crate) async fn manage_with_histories(&self, indices: Range<usize>) -> Result<()> {
        let mut original: ReplicaCount = serde_json::from_str(&self.replica_count)?;
        histories::fill(original.status.as_mut().context("the original has no status")?, NAME, Timestamp::now());
        self.store_replica_counts(&serde_json::to_string(&original)?, indices).await
    }

    async fn store_replica_counts(&self, original: &str, indices: Range<usize>) -> Result<()> {
        let counts = indices.map(|index| {
            let mut count = copy(original, index)?;
            count["status"]["targetUid"] = populate::uid(DEPLOYMENTS, &namespace(index), &name(index)).into();
            Ok(count)
        });
        self.cluster.control_plane.populate(REPLICA_COUNTS, counts).await
    }
}

/// Whether this is the original of the copies.
pub(crate) fn is_original(metadata: &ObjectMeta) -> bool {
    metadata.namespace.as_deref() == Some(NAMESPACE)
}

impl BenchCluster {
    /// Creates the namespaces and the originals.
    pub(crate) async fn deployments(&self) -> Result<Deployments<'_>> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        stream::iter((0..NAMESPACES).map(namespace).chain([NAMESPACE.to_owned()]).map(Ok))
            .try_for_each_concurrent(16, async |name| {
                let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
                let namespace = Namespace { metadata, ..Namespace::default() };
                namespaces.create(&PostParams::default(), &namespace).await.map(drop)
            })
            .await?;
        let deployment = self.original_deployment().await?;
        Ok(Deployments { cluster: self, deployment, replica_count: self.original_replica_count().await? })
    }

    /// Creates Deployments that are all managed.
    pub(crate) async fn create_managed_deployments(&self, number: usize) -> Result<()> {
        let deployments = self.deployments().await?;
        deployments.create(0..number).await?;
        deployments.manage(0..number).await
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

    /// Creates the original's ReplicaCount, and returns it with the status that the server writes.
    async fn original_replica_count(&self) -> Result<String> {
        let api: Api<ReplicaCount> = Api::namespaced(self.client.clone(), NAMESPACE);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        api.create(&parameters, &replica_count(NAME)).await?;
        let _server = self.server().await?;
        let stored = wait::until("a ReplicaCount that is ready", PATIENCE, async || {
            let count = api.get(&replica_count_name(NAME)).await?;
            let status = count.status.as_ref().context("it has no status")?;
            let ready = status.conditions.iter().any(|one| one.is("Ready", "True"));
            ready.then_some(count).context("it is not ready")
        });
        Ok(serde_json::to_string(&stored.await?)?)
    }
}

/// Copies a stored object, with the names of a Deployment by its index.
fn copy(original: &str, index: usize) -> Result<Value> {
    let copy = original.replace(NAME, &name(index)).replace(NAMESPACE, &namespace(index));
    Ok(serde_json::from_str(&copy)?)
}
