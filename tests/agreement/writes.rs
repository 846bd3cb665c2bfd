//! What other programs write: they scale, apply and create targets again, and edit ReplicaCounts.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{
    steps::{Done, ExpectedNote, Walk},
    target::Target,
};
use support::PATIENCE;

/// The managers that scale targets.
const SCALERS: [&str; 5] = ["amber", "blue", "coral", "denim", "ebony"];

/// The managers that apply targets.
const APPLIERS: [&str; 2] = ["gitops", "deployer"];

/// The manager that edits ReplicaCounts.
const EDITOR: &str = "editor";

/// The manager that creates targets again.
const CREATOR: &str = "creator";

impl Walk<'_> {
    pub(super) async fn scale(&mut self, index: usize) -> Result<Option<Done>> {
        let (count, manager) = (self.count(index, 0), SCALERS[self.rng.usize(..SCALERS.len())]);
        if !self.targets[index].can_drift_to(count) {
            return Ok(None);
        }
        self.scale_target(index, count, manager).await?;
        let target = &mut self.targets[index];
        // Kubernetes records no owner of a 0.
        let actor = if count == 0 { "unknown" } else { manager };
        Ok(Some(drifted(target, actor, count, &format!("scale by {manager}"))))
    }

    /// Writes a target's count through `/scale`.
    pub(super) async fn scale_target(&self, index: usize, count: i32, manager: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
        let name = &self.targets[index].name;
        self.api(index).patch_scale(name, &PatchParams::apply(manager), &patch).await?;
        Ok(())
    }

    pub(super) async fn apply(&mut self, index: usize) -> Result<Option<Done>> {
        let (count, manager) = (self.count(index, 1), APPLIERS[self.rng.usize(..APPLIERS.len())]);
        if !self.targets[index].can_drift_to(count) {
            return Ok(None);
        }
        let name = self.targets[index].name.clone();
        let patch = Patch::Apply(self.targets[index].form.manifest(&self.shop.name, &name, count)?);
        self.api(index).patch(&name, &PatchParams::apply(manager).force(), &patch).await?;
        let target = &mut self.targets[index];
        Ok(Some(drifted(target, manager, count, &format!("apply by {manager}"))))
    }

    pub(super) async fn recreate(&mut self, index: usize) -> Result<Option<Done>> {
        let count = self.count(index, 1);
        if !self.targets[index].can_drift_to(count) {
            return Ok(None);
        }
        let name = self.targets[index].name.clone();
        let api = self.api(index);
        api.delete(&name, &DeleteParams::background()).await?;
        wait::until("the target to be gone", PATIENCE, async || {
            ensure!(api.get_opt(&name).await?.is_none(), "it is still there");
            Ok(())
        })
        .await?;
        self.create(index, count).await?;
        let target = &mut self.targets[index];
        Ok(Some(drifted(target, CREATOR, count, "recreate")))
    }

    pub(super) async fn create(&self, index: usize, count: i32) -> Result<()> {
        let params = PostParams { field_manager: Some(CREATOR.to_owned()), ..PostParams::default() };
        let Target { form, name, .. } = &self.targets[index];
        let object = serde_json::from_value(form.manifest(&self.shop.name, name, count)?)?;
        self.api(index).create(&params, &object).await?;
        Ok(())
    }

    /// Writes the lasting count of the ReplicaCount directly, or through its `/scale`.
    pub(super) async fn edit(&mut self, index: usize) -> Result<Option<Done>> {
        let (count, is_scale) = (self.count(index, 1), self.rng.bool());
        if self.targets[index].held.as_ref().is_none_or(|held| held.replicas == count) {
            return Ok(None);
        }
        self.edit_count(index, count, is_scale).await?;
        let target = &mut self.targets[index];
        if let Some(held) = &mut target.held {
            let reason = held.reason.clone();
            held.change_replicas(Some(held.replicas), count, EDITOR, &reason);
        }
        target.put_in_place();
        let what = format!("edit {} to {count}, through scale: {is_scale}", target.name);
        Ok(Some(Done { what, ..Done::default() }))
    }

    /// Writes the lasting count of a ReplicaCount.
    pub(super) async fn edit_count(&self, index: usize, count: i32, is_scale: bool) -> Result<()> {
        let (name, params) = (self.targets[index].count_name(), PatchParams::apply(EDITOR));
        let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
        if is_scale {
            self.counts.patch_scale(&name, &params, &patch).await?;
        } else {
            self.counts.patch(&name, &params, &patch).await?;
        }
        Ok(())
    }

    pub(super) async fn edit_reason(&mut self, index: usize) -> Result<Option<Done>> {
        let reason = format!("edited {}", self.rng.u64(..));
        let target = &mut self.targets[index];
        let patch = Patch::Merge(json!({"spec": {"reason": reason}}));
        self.counts.patch(&target.count_name(), &PatchParams::apply(EDITOR), &patch).await?;
        let held = target.held.as_mut().context("it is not managed")?;
        held.change_reason(EDITOR, &reason);
        Ok(Some(Done { what: format!("edit the reason of {}", target.name), ..Done::default() }))
    }
}

/// What a write of another count leads to: a drift that is put back, unless the target is not managed.
pub(super) fn drifted(target: &mut Target, actor: &str, count: i32, what: &str) -> Done {
    let what = format!("{what} of {} to {count}", target.name);
    let Some(held) = &mut target.held else {
        target.observed = count;
        return Done { what, ..Done::default() };
    };
    held.drift(actor, target.observed, count);
    let begin = format!("{actor} changed the replica count; put back to {}", held.desired());
    let event = ExpectedNote { target: target.name.clone(), reason: "ReplicasPutBack", begin, end: String::new() };
    Done { what, events: vec![event], ..Done::default() }
}
