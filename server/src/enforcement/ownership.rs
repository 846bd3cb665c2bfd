//! Gives the ownership of a count back to those who apply it.
//!
//! Whoever wrote a field last owns it, and a server-side apply of another value by anybody else meets a conflict: after a
//! correction, the next upgrade by Helm 4 would fail. So the managers that had applied the count are remembered, and a
//! patch of the target's managedFields makes them its owners again. Nothing else of the target is written, which the
//! chart's admission policy holds this server to ([`fence`](super::fence)).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::{DynamicObject, Status},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::fence::Fence;
use crate::{
    resources::{
        FIELD_MANAGER, FieldOwners, GroupKind, ReplicaCountStatus, TargetKey, TargetKind, Writer, resource_version,
    },
    telemetry::{self, Metrics},
};

/// How long one give-back may take: it reads, looks at the fence now and then, and patches.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the right to patch a kind counts as missing before it is tried again.
const DENIED: Duration = Duration::from_secs(5 * 60);

/// The managers that have applied the count of one target, and whom it was then taken from.
#[derive(Debug, Default)]
pub struct Appliers {
    known: Vec<Recipient>,
    /// Whether they owned the count in the state that was seen last.
    owned: bool,
}

/// A manager that applied the count, and when, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    manager: Arc<str>,
    /// In seconds since 1970.
    time: Option<i64>,
}

impl Appliers {
    /// Those that a status remembers.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        let known =
            status.appliers.iter().map(|name| Recipient { manager: name.as_str().into(), time: None }).collect();
        Self { known, owned: false }
    }

    /// Takes in the owners of a new state, and returns the applier that has just left the count out, if one has.
    ///
    /// An applier that lost the count to somebody else has not applied since; one that applied without it is forgotten:
    /// given a count that it does not set, its next apply would reset it to 1.
    pub fn observe(&mut self, owners: &FieldOwners, replicas: Option<i32>) -> Option<Writer> {
        let owns = owners.appliers().any(|applier| applier.owns);
        let owned = std::mem::replace(&mut self.owned, owns);
        if owns {
            let owning = owners.appliers().filter(|applier| applier.owns);
            self.known = owning.map(|one| Recipient { manager: one.manager.clone(), time: one.time }).collect();
            return None;
        }
        // Times are whole seconds. But whoever takes a count from its owner owns it then, save for a 0 through /scale.
        let given_up = owned && owners.last().is_none() && replicas != Some(0);
        let mut left_out = None;
        self.known.retain_mut(|known| {
            // An applier of the count alone has no entry once that is taken from it.
            let Some(now) = owners.appliers().find(|applier| applier.manager == known.manager) else {
                return true;
            };
            let applied_since = match known.time {
                Some(_) => given_up || now.time > known.time,
                // Nobody saw what happened. An applier that still held the count has lost it by its own apply only if
                // nobody took it; a 0 through /scale looks the same, and then ours stays, which is the lesser evil.
                None => owners.last().is_none(),
            };
            if applied_since && known.time.is_some() {
                left_out = Some(now.clone());
            }
            known.time = now.time;
            !applied_since
        });
        left_out
    }

    /// Those to give the count back to, as they are known.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.known.clone()
    }

    /// Takes over what another server has stored, of which no times are known.
    pub fn adopt(&mut self, status: &ReplicaCountStatus) {
        if !status.appliers.iter().map(String::as_str).eq(self.names()) {
            *self = Self::of(status);
        }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|known| &*known.manager)
    }

    /// Whether these owners are not as they should be once a count is in place: the appliers alone, or if there are none,
    /// somebody. Without any owner, later writes through `/scale` would leave no trace of who wrote.
    pub fn are_missing_in(&self, owners: &FieldOwners) -> bool {
        owners.last().is_none() || (owners.ours() && !self.known.is_empty())
    }
}

/// The operations that make the appliers own the count, and us only if there are none; `None` if it is so already.
///
/// Entries are addressed by their place, so each that is touched is tested to be still the one that was seen. Not the
/// resource version: a status changes it all the time.
///
/// An applier that has applied since it was last seen decides for itself: its new state is about to be heard of.
fn operations(entries: &[ManagedFieldsEntry], kind: &TargetKind, appliers: &[Recipient]) -> Option<Vec<Value>> {
    let mut operations = Vec::new();
    let path = |index: usize, field: &str| format!("/metadata/managedFields/{index}/{field}");
    let test = |index: usize, entry: &ManagedFieldsEntry| {
        let fields = [
            ("manager", json!(entry.manager)),
            ("operation", json!(entry.operation)),
            ("subresource", json!(entry.subresource)),
            ("time", json!(entry.time)),
        ];
        fields.map(|(field, value)| json!({"op": "test", "path": path(index, field), "value": value}))
    };
    let add_entry = |manager: &str, operation: &str, subresource: Option<&str>| {
        let mut entry = json!({
            "manager": manager, "operation": operation, "apiVersion": kind.api_version(),
            "fieldsType": "FieldsV1", "fieldsV1": kind.replicas.only(),
        });
        if let Some(subresource) = subresource {
            entry["subresource"] = subresource.into();
        }
        match entries {
            [] => json!({"op": "add", "path": "/metadata/managedFields", "value": [entry]}),
            _ => json!({"op": "add", "path": "/metadata/managedFields/-", "value": entry}),
        }
    };
    let owns =
        |entry: &ManagedFieldsEntry| entry.fields_v1.as_ref().is_some_and(|fields| kind.replicas.is_owned(&fields.0));
    if appliers.is_empty() {
        return (!entries.iter().any(owns)).then(|| vec![add_entry(FIELD_MANAGER, "Update", Some("scale"))]);
    }
    for applier in appliers {
        let mut all = entries.iter().enumerate();
        let found = all.find(|(_, entry)| {
            entry.manager.as_deref() == Some(&*applier.manager)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        });
        match found {
            Some((_, entry)) if owns(entry) => {}
            Some((_, entry))
                if applier.time.is_some() && entry.time.as_ref().map(|time| time.0.as_second()) > applier.time =>
            {
                return None;
            }
            Some((index, entry)) => {
                let fields = entry.fields_v1.as_ref().map(|fields| &fields.0).unwrap_or(&Value::Null);
                let (below, value) = kind.replicas.to_own(fields);
                operations.extend(test(index, entry));
                operations.push(json!({"op": "add", "path": path(index, "fieldsV1") + &below, "value": value}));
            }
            None => operations.push(add_entry(&applier.manager, "Apply", None)),
        }
    }
    // From the last to the first, since each removal moves those behind it. What we write holds nothing but the count.
    for (index, entry) in entries.iter().enumerate().rev() {
        let only = entry.fields_v1.as_ref().is_some_and(|fields| fields.0 == kind.replicas.only());
        if entry.manager.as_deref() == Some(FIELD_MANAGER) && only {
            operations.extend(test(index, entry));
            operations.push(json!({"op": "remove", "path": format!("/metadata/managedFields/{index}")}));
        }
    }
    (!operations.is_empty()).then_some(operations)
}

/// What to give back.
#[derive(Debug)]
pub struct GiveBack {
    /// The target's kind.
    pub kind: Arc<TargetKind>,
    /// Whom to.
    pub appliers: Vec<Recipient>,
}

/// What became of it.
#[derive(Debug)]
pub enum GivenBack {
    /// The owners are as they should be as of this resource version of the target.
    Done(u64),
    /// Not ours to do: there is no such target any more, or we may not.
    Kept,
    /// It is to be tried again; why it failed, with all causes.
    Failed(String),
}

/// Gives ownership back.
#[derive(Clone)]
pub struct Ownership {
    client: Client,
    fence: Fence,
    /// The kinds that may not be patched, and when that was found.
    denied: Arc<Mutex<HashMap<GroupKind, Instant>>>,
}

impl Ownership {
    /// With the account of a client.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, fence: Fence::new(metrics), denied: Arc::default() }
    }

    /// Whether targets of a kind may be patched, as far as is known.
    pub fn may_patch(&self, kind: &GroupKind) -> bool {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.get(kind).is_none_or(|since| since.elapsed() > DENIED)
    }

    /// Makes the appliers the owners of a target's count.
    pub async fn give_back(&self, key: &TargetKey, give: &GiveBack) -> GivenBack {
        match timeout(TIMEOUT, self.patch(key, give)).await {
            Ok(Ok(version)) => GivenBack::Done(version),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => GivenBack::Kept,
            Ok(Err(kube::Error::Api(status))) if is_missing_right(&status) => {
                self.note_denied(&key.kind, &status);
                GivenBack::Kept
            }
            Ok(Err(error)) => GivenBack::Failed(telemetry::chain(&error)),
            Err(_) => GivenBack::Failed(format!("no answer within {TIMEOUT:?}")),
        }
    }

    async fn patch(&self, key: &TargetKey, give: &GiveBack) -> Result<u64, kube::Error> {
        let targets: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &give.kind.resource());
        let metadata = targets.get_metadata(&key.name).await?.metadata;
        let version = resource_version(&metadata);
        let entries = metadata.managed_fields.unwrap_or_default();
        let Some(operations) = operations(&entries, &give.kind, &give.appliers) else {
            return Ok(version);
        };
        self.fence.check(&targets, key).await;
        let operations = serde_json::from_value(operations.into()).map_err(kube::Error::SerdeError)?;
        let parameters = PatchParams::apply(FIELD_MANAGER);
        let patched = targets.patch_metadata(&key.name, &parameters, &Patch::<()>::Json(operations)).await?;
        debug!(target = %key, appliers = ?give.appliers, "ownership given back");
        Ok(resource_version(&patched.metadata))
    }

    fn note_denied(&self, kind: &GroupKind, status: &Status) {
        let first = self.denied.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.clone(), Instant::now());
        if first.is_none() {
            warn!(%kind, problem = status.message, "keeping the ownership of corrected counts: server-side applies of \
                other counts, as by Helm 4, will meet conflicts");
        }
    }
}

/// Whether RBAC refuses, as opposed to an admission policy or webhook, which may refuse one object only.
pub(super) fn is_missing_right(status: &Status) -> bool {
    let right = ["cannot patch resource", "cannot get resource"].iter().any(|words| status.message.contains(words));
    status.code == 403 && right
}

#[cfg(test)]
mod tests;
