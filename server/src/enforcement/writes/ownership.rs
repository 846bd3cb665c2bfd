//! Gives the ownership of a count back to the managers that apply it.
//!
//! The manager that wrote a field last owns it, and a server-side apply of another value by any other manager meets a
//! conflict: after a correction, the next upgrade by Helm 4 would fail. A patch of the target's managedFields makes the
//! applier its owner again. If there are several appliers, it only removes our ownership. It writes nothing else of the
//! target, which the chart's admission policy enforces ([`super::fence_probe`]).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, Client,
    api::{self, PatchParams},
    core::{DynamicObject, Status},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{
    super::{appliers::Recipient, decision::GiveBack, failure::Cause},
    fence_probe::FenceProbe,
};
use crate::{
    resources::{FIELD_MANAGER, GroupKind, TargetKey, TargetKind, Uid, api_errors::is_missing_right, resource_version},
    telemetry::{self, Metrics},
};

/// How long one give-back may take: it reads the target, probes the fence now and then, and patches.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the right to patch a kind counts as missing before the server tries again.
const DENIED: Duration = Duration::from_secs(5 * 60);

/// The result of a give-back.
#[derive(Debug)]
pub enum OwnershipAnswer {
    /// The owners are right.
    Given {
        /// The target's resource version with them.
        version: u64,
    },
    /// There is no such target any more, or the server may not patch it.
    Impossible,
    /// It has to be tried again.
    Failed {
        /// Whose fault it is.
        cause: Cause,
        /// Why, with all causes.
        error: String,
    },
}

/// Gives ownership back.
#[derive(Clone)]
pub struct OwnershipPatcher {
    client: Client,
    fence: FenceProbe,
    /// The kinds that the server may not patch, and when it found out.
    denied: Arc<Mutex<HashMap<GroupKind, Instant>>>,
}

impl OwnershipPatcher {
    /// Writes with the account of a client.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, fence: FenceProbe::new(metrics), denied: Arc::default() }
    }

    /// Whether the server may patch targets of a kind, as far as is known.
    pub fn is_allowed(&self, kind: &GroupKind) -> bool {
        self.denied.lock().get(kind).is_none_or(|since| since.elapsed() > DENIED)
    }

    /// Makes a single applier the owner of a target's count. If there are several, it only removes this server's
    /// ownership.
    pub async fn give_back(&self, key: &TargetKey, give_back: &GiveBack) -> OwnershipAnswer {
        match timeout(TIMEOUT, self.patch(key, give_back)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => OwnershipAnswer::Impossible,
            Ok(Err(kube::Error::Api(status))) if is_missing_right(&status) => {
                self.record_denial(&key.kind, &status);
                OwnershipAnswer::Impossible
            }
            Ok(Err(error)) => OwnershipAnswer::Failed { cause: Cause::of(&error), error: telemetry::chain(&error) },
            Err(_) => {
                OwnershipAnswer::Failed { cause: Cause::NoAnswer, error: format!("no answer within {TIMEOUT:?}") }
            }
        }
    }

    async fn patch(&self, key: &TargetKey, give_back: &GiveBack) -> Result<OwnershipAnswer, kube::Error> {
        let targets: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &give_back.kind.resource());
        let metadata = targets.get_metadata(&key.name).await?.metadata;
        let version = resource_version(&metadata);
        if metadata.uid.as_deref().map(Uid::from).as_ref() != Some(&give_back.uid) {
            // Another object has the name by now. Its event decides.
            return Ok(OwnershipAnswer::Impossible);
        }
        let entries = metadata.managed_fields.unwrap_or_default();
        self.fence.check(&targets, key).await;
        let Some(patch) = patch(&entries, &give_back.kind, &give_back.recipients) else {
            return Ok(OwnershipAnswer::Given { version });
        };
        let params = PatchParams::apply(FIELD_MANAGER);
        let patched = targets.patch_metadata(&key.name, &params, &api::Patch::<()>::Json(patch)).await?;
        let stored = patched.metadata.managed_fields.as_deref().unwrap_or_default();
        if self::patch(stored, &give_back.kind, &give_back.recipients).is_some() {
            let error = "the API server stored other owners than were sent".to_owned();
            return Ok(OwnershipAnswer::Failed { cause: Cause::Changed, error });
        }
        debug!(target = %key, recipients = ?give_back.recipients, "ownership given back");
        Ok(OwnershipAnswer::Given { version: resource_version(&patched.metadata) })
    }

    fn record_denial(&self, kind: &GroupKind, status: &Status) {
        if self.denied.lock().insert(kind.clone(), Instant::now()).is_none() {
            warn!(%kind, problem = status.message, "keeping the ownership of corrected counts: server-side applies of \
                other counts, as by Helm 4, will meet conflicts");
        }
    }
}

/// The patch that gives the count its owner: the recipient if there is one, this server if there is none. If there are
/// several, the patch only removes this server, because the others would meet a conflict with any owner. `None` if
/// nothing has to change.
///
/// It addresses entries by their place, so it tests that each one that it touches is still the one that was read. It
/// does not test the resource version, which every status write changes.
///
/// If the recipient has applied since it was last seen, there is no patch: the next event shows whether it still sets
/// the count.
fn patch(entries: &[ManagedFieldsEntry], kind: &TargetKind, recipients: &[Recipient]) -> Option<Patch> {
    let owns =
        |entry: &ManagedFieldsEntry| entry.fields_v1.as_ref().is_some_and(|fields| kind.replicas.is_owned(&fields.0));
    if recipients.is_empty() {
        let ours = new_entry(kind, FIELD_MANAGER, "Update", Some("scale"));
        return (!entries.iter().any(owns)).then(|| Patch(vec![add_entry(entries, ours)]));
    }
    let mut operations = Vec::new();
    for recipient in recipients.iter().filter(|_| recipients.len() == 1) {
        let Some((index, entry)) = entries.iter().enumerate().find(|(_, entry)| is_applied_by(entry, recipient)) else {
            operations.push(add_entry(entries, new_entry(kind, &recipient.manager, "Apply", None)));
            continue;
        };
        if owns(entry) {
            continue;
        }
        let applied_at = entry.time.as_ref().map(|time| time.0.as_second());
        if recipient.time.is_some() && applied_at > recipient.time {
            return None;
        }
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0).unwrap_or(&Value::Null);
        let (below, value) = kind.replicas.to_own(fields);
        operations.extend(test_entry(index, entry));
        let mut path = entry_path(index, ["fieldsV1"]);
        path.append(&below);
        operations.push(PatchOperation::Add(AddOperation { path, value }));
    }
    operations.extend(remove_ours(entries, kind));
    (!operations.is_empty()).then_some(Patch(operations))
}

/// The removal of our own entries, from the last to the first, as each removal moves those behind it. What we write
/// holds nothing but the count.
fn remove_ours(entries: &[ManagedFieldsEntry], kind: &TargetKind) -> Vec<PatchOperation> {
    let only = kind.replicas.only();
    let is_ours = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.fields_v1.as_ref().is_some_and(|fields| fields.0 == only)
    };
    let ours = entries.iter().enumerate().rev().filter(|(_, entry)| is_ours(entry));
    ours.flat_map(|(index, entry)| {
        let remove = PatchOperation::Remove(RemoveOperation { path: entry_path(index, []) });
        test_entry(index, entry).into_iter().chain([remove])
    })
    .collect()
}

fn is_applied_by(entry: &ManagedFieldsEntry, recipient: &Recipient) -> bool {
    entry.manager.as_deref() == Some(&*recipient.manager)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn entry_path<const N: usize>(index: usize, below: [&str; N]) -> PointerBuf {
    let mut path = PointerBuf::from_tokens(["metadata", "managedFields"]);
    path.push_back(index);
    path.append(PointerBuf::from_tokens(below));
    path
}

fn test_entry(index: usize, entry: &ManagedFieldsEntry) -> [PatchOperation; 4] {
    let fields = [
        ("manager", json!(entry.manager)),
        ("operation", json!(entry.operation)),
        ("subresource", json!(entry.subresource)),
        ("time", json!(entry.time)),
    ];
    fields.map(|(field, value)| PatchOperation::Test(TestOperation { path: entry_path(index, [field]), value }))
}

/// An entry that owns the count and no other field.
fn new_entry(kind: &TargetKind, manager: &str, operation: &str, subresource: Option<&str>) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": kind.api_version(),
        "fieldsType": "FieldsV1", "fieldsV1": kind.replicas.only(),
    });
    if let Some(subresource) = subresource {
        entry["subresource"] = subresource.into();
    }
    entry
}

fn add_entry(entries: &[ManagedFieldsEntry], entry: Value) -> PatchOperation {
    let mut path = PointerBuf::from_tokens(["metadata", "managedFields"]);
    if entries.is_empty() {
        return PatchOperation::Add(AddOperation { path, value: vec![entry].into() });
    }
    path.push_back("-");
    PatchOperation::Add(AddOperation { path, value: entry })
}

#[cfg(test)]
mod tests;
