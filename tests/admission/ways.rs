//! The ways in which clients of the API server write a count.

use anyhow::{Context, Result};
use kube::{
    Api, Client, Error,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind, Status},
};
use serde_json::{Value, json};

/// How often a write is tried again after a conflict.
const ATTEMPTS: usize = 50;

/// A way to write a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// As `kubectl scale`.
    PatchScale,
    /// As the controller of autoscalers.
    ReplaceScale,
    /// As `kubectl patch --type=merge`.
    Merge,
    /// As `kubectl patch`.
    Strategic,
    /// As `kubectl apply --server-side --force-conflicts`.
    Apply,
    /// As `kubectl apply`.
    ClientSideApply,
    /// As `kubectl edit` and `kubectl replace`: the whole object, if it has not changed meanwhile.
    Replace,
}

impl Way {
    pub(super) const ALL: [Self; 7] = [
        Self::PatchScale,
        Self::ReplaceScale,
        Self::Merge,
        Self::Strategic,
        Self::Apply,
        Self::ClientSideApply,
        Self::Replace,
    ];

    /// Whether it writes through `/scale`.
    pub(super) const fn is_of_scale(self) -> bool {
        matches!(self, Self::PatchScale | Self::ReplaceScale)
    }
}

/// A workload whose count is written.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) api: Api<DynamicObject>,
    pub(super) kind: ApiResource,
    pub(super) name: String,
}

impl Written {
    /// A workload of the API group `apps`.
    pub(super) fn new(client: Client, namespace: &str, kind: &str, name: &str) -> Self {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        Self { api: Api::namespaced_with(client, namespace, &kind), kind, name: name.to_owned() }
    }

    /// Writes a count as a field manager, and tries again after conflicts.
    pub(super) async fn write(&self, way: Way, count: i32, manager: &str, dry_run: bool) -> kube::Result<()> {
        let mut attempt = 1;
        loop {
            match self.try_write(way, count, manager, dry_run).await {
                Err(Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    async fn try_write(&self, way: Way, count: i32, manager: &str, dry_run: bool) -> kube::Result<()> {
        let Self { api, kind, name } = self;
        let field_manager = Some(manager.to_owned());
        let patch = PatchParams {
            dry_run,
            force: way == Way::Apply,
            field_manager: field_manager.clone(),
            field_validation: None,
        };
        let post = PostParams { dry_run, field_manager };
        let change = json!({"spec": {"replicas": count}});
        match way {
            Way::PatchScale => api.patch_scale(name, &patch, &Patch::Merge(change)).await.map(drop),
            Way::ReplaceScale => {
                let mut scale = api.get_scale(name).await?;
                scale.spec.get_or_insert_default().replicas = Some(count);
                api.replace_scale(name, &post, &scale).await.map(drop)
            }
            Way::Merge => api.patch(name, &patch, &Patch::Merge(change)).await.map(drop),
            Way::Strategic => api.patch(name, &patch, &Patch::Strategic(change)).await.map(drop),
            Way::Apply => {
                let object = json!({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name},
                                    "spec": {"replicas": count}});
                api.patch(name, &patch, &Patch::Apply(object)).await.map(drop)
            }
            Way::ClientSideApply => {
                let last = json!({"kubectl.kubernetes.io/last-applied-configuration": change.to_string()});
                let object = json!({"metadata": {"annotations": last}, "spec": {"replicas": count}});
                api.patch(name, &patch, &Patch::Strategic(object)).await.map(drop)
            }
            Way::Replace => {
                let mut object = api.get(name).await?;
                object.data["spec"]["replicas"] = count.into();
                api.replace(name, &post, &object).await.map(drop)
            }
        }
    }

    /// The object, as it is stored.
    pub(super) async fn stored(&self) -> Result<DynamicObject> {
        self.api.get(&self.name).await.context("the workload cannot be read")
    }
}

/// The count in an object's spec.
pub(super) fn count(object: &DynamicObject) -> i64 {
    object.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0)
}

/// The refusal of the API server in an answer, if it is one.
pub(super) fn refusal<T>(answer: kube::Result<T>) -> Result<Option<Box<Status>>> {
    match answer {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) => Ok(Some(status)),
        Err(error) => Err(error.into()),
    }
}
