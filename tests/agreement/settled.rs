//! The owners of counts, which the server gives back after each correction.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;

use super::steps::Walk;
use support::PATIENCE;

impl Walk<'_> {
    /// Waits until the count of each target has the right owner, so that the next writer through `/scale` is known. The
    /// server gives the ownership back after the count is in place.
    pub(super) async fn settle(&self) -> Result<()> {
        wait::until("the owners of the counts", PATIENCE, async || {
            let deployments = self.deployments.list(&ListParams::default()).await?.items;
            let deployments: BTreeMap<_, _> =
                deployments.into_iter().filter_map(|one| Some((one.metadata.name.clone()?, one))).collect();
            for count in self.counts.list(&ListParams::default()).await?.items {
                let target = count.spec.scale_target_ref.name;
                let owners = owners(deployments.get(&target).context("no target")?);
                let appliers = count.status.unwrap_or_default().appliers;
                let is_settled = if appliers.is_empty() { !owners.is_empty() } else { owners == appliers };
                let is_in_trouble = self.targets.iter().any(|one| one.name == target && one.trouble().is_some());
                ensure!(
                    is_settled || is_in_trouble,
                    "{target} has the owners {owners:?} and the appliers {appliers:?}"
                );
            }
            Ok(())
        })
        .await
    }
}

/// The managers that own a count.
fn owners(deployment: &Deployment) -> Vec<String> {
    let entries = deployment.metadata.managed_fields.iter().flatten();
    let owns = entries.filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    });
    owns.filter_map(|entry| entry.manager.clone()).collect()
}
