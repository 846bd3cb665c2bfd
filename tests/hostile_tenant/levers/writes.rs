//! What the editor of the namespace writes.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use replica_count_manager::resources::ReplicaCount;
use serde_json::json;
use tokio::time::sleep;

use super::{
    super::{missing_kinds, scene::client},
    ANNOTATIONS, Attacker, CHURNED, CORRECTED, DRIFTS, HOLD, PAUSE, SCALED,
};

/// The pause between two drifts that are corrected. Each costs the API server and its controllers some ten writes, which
/// are no lever against this server.
const DRIFT_PAUSE: Duration = Duration::from_millis(100);

impl Attacker {
    pub(super) async fn drifts(self) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(client(&self.kubeconfig).await?, &self.tenant);
        for replicas in [2, 3] {
            let drift = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            let drifts = self.hanging.clone().into_iter().map(|name| {
                let (deployments, drift, attacker) = (deployments.clone(), drift.clone(), self.clone());
                async move {
                    // Past `/scale`, where nothing hangs.
                    let drifted = deployments.patch(&name, &PatchParams::default(), &drift).await;
                    drifted.map(|_| attacker.count(DRIFTS, 1))
                }
            });
            stream::iter(drifts).buffer_unordered(4).collect::<Vec<_>>().await;
        }
        sleep(HOLD).await;
        Ok(())
    }

    pub(super) async fn annotations(self) -> Result<()> {
        let counts: Api<ReplicaCount> = Api::namespaced(client(&self.kubeconfig).await?, &self.tenant);
        for (number, name) in self.hanging.iter().take(100).enumerate() {
            let annotation = format!("{number}{}", "x".repeat(200 << 10));
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"example.com/huge": annotation}}}));
            counts.patch(&format!("deployment.{name}"), &PatchParams::default(), &patch).await?;
            self.count(ANNOTATIONS, 1);
            sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(super) async fn corrected_drifts(self) -> Result<()> {
        let stateful_sets: Api<StatefulSet> = Api::namespaced(client(&self.kubeconfig).await?, &self.tenant);
        for name in &self.corrected {
            let drift = Patch::Merge(json!({"spec": {"replicas": 2}}));
            stateful_sets.patch(name, &PatchParams::default(), &drift).await?;
            self.count(CORRECTED, 1);
            sleep(DRIFT_PAUSE).await;
        }
        Ok(())
    }

    /// Brings one more missing kind into use, and out of it again.
    pub(super) async fn churned_kinds(self) -> Result<()> {
        let counts: Api<ReplicaCount> = Api::namespaced(client(&self.kubeconfig).await?, &self.tenant);
        for number in 0..100 {
            let group = format!("churned-{number}.example.com");
            let created = counts.create(&PostParams::default(), &missing_kinds::replica_count(&group)?).await;
            counts.delete(&missing_kinds::name(&group), &DeleteParams::default()).await.map(drop)?;
            created?;
            self.count(CHURNED, 1);
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Scales a ReplicaCount. The review of this does not say which kind it names.
    pub(super) async fn scaled(self) -> Result<()> {
        let counts: Api<ReplicaCount> = Api::namespaced(client(&self.kubeconfig).await?, &self.tenant);
        let name = missing_kinds::name(&missing_kinds::group(0));
        for replicas in 1..=100 {
            let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            counts.patch_scale(&name, &PatchParams::default(), &scale).await?;
            self.count(SCALED, 1);
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
