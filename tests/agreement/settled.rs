//! The owners of counts, which the server gives back after each correction.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};

use super::{steps::Walk, target::Autoscaler};
use support::PATIENCE;

impl Walk<'_> {
    /// Waits until the count of each target has the right owner, so that the next writer through `/scale` is known. The
    /// server gives the ownership back after the count is in place.
    pub(super) async fn settle(&mut self) -> Result<()> {
        for target in &mut self.targets {
            if target.autoscaler == Autoscaler::Gone {
                target.autoscaler = Autoscaler::Absent;
            }
        }
        wait::until("the owners of the counts", PATIENCE, async || {
            let mut objects = BTreeMap::new();
            for api in &self.kinds {
                let found = api.list(&ListParams::default()).await?.items.into_iter();
                objects.extend(found.map(|object| (object.name_any(), object)));
            }
            for count in self.counts.list(&ListParams::default()).await?.items {
                let target = count.spec.scale_target_ref.name;
                let owners = owners(objects.get(&target).context("no target")?);
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
fn owners(object: &DynamicObject) -> Vec<String> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let owns = entries.filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    });
    owns.filter_map(|entry| entry.manager.clone()).collect()
}
