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
    Client,
    api::{self, PatchParams},
    core::Status,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{
    super::{
        appliers::{Recipient, is_taken_with_the_kept_count},
        decision::GiveBack,
        failure::Cause,
    },
    fence_probe::FenceProbe,
    target_metadata::TargetMetadata,
};
use crate::{
    resources::{FIELD_MANAGER, GroupKind, TargetKey, TargetKind, api_errors::is_missing_right, read_field_owner},
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
    /// A recipient has applied since it was last seen, and decides for itself.
    Outdated {
        /// The target's resource version that shows it.
        version: u64,
    },
    /// There is no such target any more.
    Gone,
    /// The server may not patch targets of the kind.
    Forbidden,
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
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => OwnershipAnswer::Gone,
            Ok(Err(kube::Error::Api(status))) if is_missing_right(&status) => {
                self.record_denial(&key.kind, &status);
                OwnershipAnswer::Forbidden
            }
            Ok(Err(error)) => OwnershipAnswer::Failed { cause: Cause::of(&error), error: telemetry::chain(&error) },
            Err(_) => {
                OwnershipAnswer::Failed { cause: Cause::NoAnswer, error: format!("no answer within {TIMEOUT:?}") }
            }
        }
    }

    async fn patch(&self, key: &TargetKey, give_back: &GiveBack) -> Result<OwnershipAnswer, kube::Error> {
        let target = TargetMetadata::new(&self.client, key, &give_back.kind);
        let owned = target.get().await?;
        if owned.uid() != give_back.uid {
            // Another object has the name by now. Its event decides.
            return Ok(OwnershipAnswer::Gone);
        }
        self.fence.check(&target).await;
        let plan = |entries: Vec<Value>| plan(&entries.into_iter().map(Entry::new).collect::<Vec<_>>(), give_back);
        let version = owned.version();
        let patch = match plan(owned.managed_fields) {
            Plan::Patch(patch) => patch,
            Plan::Nothing => return Ok(OwnershipAnswer::Given { version }),
            Plan::Outdated => return Ok(OwnershipAnswer::Outdated { version }),
        };
        let stored = target.patch(&PatchParams::apply(FIELD_MANAGER), &api::Patch::Json(patch)).await?;
        let version = stored.version();
        if matches!(plan(stored.managed_fields), Plan::Patch(_)) {
            let error = "the API server stored other owners than were sent".to_owned();
            return Ok(OwnershipAnswer::Failed { cause: Cause::Changed, error });
        }
        debug!(target = %key, recipients = ?give_back.recipients, "ownership given back");
        Ok(OwnershipAnswer::Given { version })
    }

    fn record_denial(&self, kind: &GroupKind, status: &Status) {
        if self.denied.lock().insert(kind.clone(), Instant::now()).is_none() {
            warn!(%kind, problem = status.message, "keeping the ownership of corrected counts: server-side applies of \
                other counts, as by Helm 4, will meet conflicts");
        }
    }
}

/// An entry of managedFields.
#[derive(Clone, Debug)]
struct Entry {
    /// As it was sent, for the tests of a patch.
    sent: Value,
    /// What of it can be read.
    read: ManagedFieldsEntry,
}

impl Entry {
    fn new(sent: Value) -> Self {
        Self { read: read_field_owner(&sent), sent }
    }
}

/// What there is to do for the owners of a count.
#[derive(Debug, PartialEq)]
enum Plan {
    /// They are right.
    Nothing,
    /// A recipient has applied since it was last seen.
    Outdated,
    /// They are right after this patch.
    Patch(Patch),
}

/// Plans the patch that gives the count its owner: the recipient if there is one, this server if there is none. If there
/// are several, the patch only removes this server, because the others would meet a conflict with any owner. An update
/// whose count the guard has kept is removed in the same way.
///
/// The patch addresses entries by their place, so it tests that each one that it touches is still the one that was read.
/// It does not test the resource version, which every status write changes.
///
/// If the recipient has applied since it was last seen, there is no patch: the state that was read shows whether it still
/// sets the count.
fn plan(entries: &[Entry], GiveBack { kind, recipients, .. }: &GiveBack) -> Plan {
    let owns =
        |entry: &Entry| owned_fields(entry).is_some_and(|fields| kind.replicas_in_entry(&entry.read).is_owned(fields));
    if recipients.is_empty() {
        if entries.iter().any(owns) {
            return Plan::Nothing;
        }
        let ours = new_entry(kind, FIELD_MANAGER, "Update", Some("scale"));
        return Plan::Patch(Patch(vec![add_entry(entries, ours)]));
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
        let applied_at = entry.read.time.as_ref().map(|time| time.0.as_second());
        if recipient.time.is_some() && applied_at > recipient.time {
            return Plan::Outdated;
        }
        let replicas = kind.replicas_in_entry(&entry.read);
        let (below, value) = replicas.to_own(owned_fields(entry).unwrap_or(&Value::Null));
        operations.extend(test_entry(index, entry));
        let mut path = entry_path(index, ["fieldsV1"]);
        path.append(&below);
        operations.push(PatchOperation::Add(AddOperation { path, value }));
    }
    operations.extend(disown(entries, kind, is_taken_with_the_kept_count(recipients)));
    if operations.is_empty() { Plan::Nothing } else { Plan::Patch(Patch(operations)) }
}

fn owned_fields(entry: &Entry) -> Option<&Value> {
    entry.read.fields_v1.as_ref().map(|fields| &fields.0)
}

/// The removal of our own entries, from the last to the first, as each removal moves those behind it. What we write
/// holds nothing but the count. If an update has taken a count that the guard has kept, the count is removed from it, too.
fn disown(entries: &[Entry], kind: &TargetKind, is_taken: bool) -> Vec<PatchOperation> {
    let is_ours = |entry: &Entry| entry.read.manager.as_deref() == Some(FIELD_MANAGER);
    let is_update = |entry: &Entry| entry.read.operation.as_deref() == Some("Update");
    let owning = entries.iter().enumerate().rev().filter_map(|(index, entry)| {
        let replicas = kind.replicas_in_entry(&entry.read);
        let fields = owned_fields(entry).filter(|fields| replicas.is_owned(fields))?;
        let below = replicas.to_disown(fields);
        let is_wrong = if is_ours(entry) { below.is_root() } else { is_taken && is_update(entry) };
        is_wrong.then_some((index, entry, below))
    });
    owning
        .flat_map(|(index, entry, below)| {
            let mut path = entry_path(index, []);
            if !below.is_root() {
                path.push_back("fieldsV1");
                path.append(&below);
            }
            test_entry(index, entry).into_iter().chain([PatchOperation::Remove(RemoveOperation { path })])
        })
        .collect()
}

fn is_applied_by(Entry { read: entry, .. }: &Entry, recipient: &Recipient) -> bool {
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

fn test_entry(index: usize, entry: &Entry) -> [PatchOperation; 4] {
    ["manager", "operation", "subresource", "time"].map(|field| {
        let value = entry.sent.get(field).cloned().unwrap_or_default();
        PatchOperation::Test(TestOperation { path: entry_path(index, [field]), value })
    })
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

fn add_entry(entries: &[Entry], entry: Value) -> PatchOperation {
    let mut path = PointerBuf::from_tokens(["metadata", "managedFields"]);
    if entries.is_empty() {
        return PatchOperation::Add(AddOperation { path, value: vec![entry].into() });
    }
    path.push_back("-");
    PatchOperation::Add(AddOperation { path, value: entry })
}

#[cfg(test)]
mod tests;
