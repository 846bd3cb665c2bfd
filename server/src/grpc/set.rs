//! SetReplicaCount: stores a desired count in the target's `ReplicaCount`.
//!
//! 1. validate the request
//! 2. [`check`]: the caller's right, then everything else that can refuse the Set (reads the API server where the index
//!    does not know the target)
//! 3. [`spec_after`]: the spec that the Set leads to
//! 4. write it, unless another writer was faster or the `ReplicaCount` is not the expected one; then read, and go on at 2
//! 5. write the audit line, and answer

use std::sync::Arc;

use contract::{
    names::reasons,
    replicas::v1::{SetReplicaCountRequest, SetReplicaCountResponse},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tracing::info;

use super::{
    action::Action,
    backend::Backend,
    conflicts, convert,
    error::{Error, outcome},
    validate::{RequestedCount, SetRequest},
    writer::{MAX_ATTEMPTS, Write, within_timeout},
};
use crate::{
    index::TargetSnapshot,
    resources::{Override, ReplicaCountSpec, ReplicaCountState, ScaleTargetRef, TargetKey, TargetKind, TargetState},
    reviews::AdmissionMode,
    telemetry::AUDIT,
    tls::Identity,
};

/// A Set that is stored.
struct StoredSet {
    /// The object as stored.
    count: ReplicaCountState,
    /// The desired count before, in replicas; `None` if the target was not managed.
    old_desired: Option<i32>,
    /// Whether an override that still lasted was cleared.
    override_cleared: bool,
    /// Whether nothing was changed.
    unchanged: bool,
    /// What admission changed, for people.
    changed: Option<String>,
    target: Option<Arc<TargetState>>,
}

/// The kind of a Set's target, and the target if it exists.
pub(super) struct FoundTarget {
    kind: Arc<TargetKind>,
    pub(super) target: Option<Arc<TargetState>>,
}

impl FoundTarget {
    fn observed(&self) -> Option<i32> {
        self.target.as_ref().and_then(|target| target.replicas)
    }
}

pub(super) async fn set(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: SetReplicaCountRequest,
) -> Result<SetReplicaCountResponse, Error> {
    let request = backend.validator.set(request, Timestamp::now())?;
    backend.ready_to_read("").await?;
    let stored = within_timeout(store(backend, caller, &request)).await;
    audit(caller, &request, &stored);
    let StoredSet { count, old_desired, override_cleared, unchanged, changed, target } = stored?;
    let owned = conflicts::controller_warning(&request.key, target.as_deref());
    let snapshot = TargetSnapshot { count: Some(Arc::new(count)), target, ..backend.index.get(&request.key) };
    let paused = paused_autoscaler(backend, &request, &snapshot);
    let replica_count = Some(convert::replica_count(&snapshot, Timestamp::now()));
    let warnings = changed.into_iter().chain(owned).chain(paused).chain(warnings(backend, &request)).collect();
    Ok(SetReplicaCountResponse { replica_count, old_desired, override_cleared, warnings, unchanged })
}

/// The warning about an autoscaler that the guard pauses.
fn paused_autoscaler(backend: &Backend, request: &SetRequest, stored: &TargetSnapshot) -> Option<String> {
    let autoscaler = stored.autoscaler.as_deref()?;
    let is_paused = backend.admission_mode == AdmissionMode::Guard && !request.force;
    let count = stored.count.as_ref().filter(|_| is_paused)?;
    Some(conflicts::paused_autoscaler_warning(autoscaler, count, Timestamp::now()))
}

/// What could not be checked. A Set that waited for it would make Sets depend on the least important watch.
fn warnings(backend: &Backend, request: &SetRequest) -> Vec<String> {
    let is_unchecked = !request.force && !backend.index.knows_autoscalers();
    let warning =
        "HorizontalPodAutoscalers cannot be watched now: the server does not know whether one scales the target";
    is_unchecked.then(|| warning.to_owned()).into_iter().collect()
}

fn audit(caller: &Identity, request: &SetRequest, stored: &Result<StoredSet, Error>) {
    let (from, to) = match stored {
        Ok(stored) => (stored.old_desired, stored.count.desired(Timestamp::now())),
        Err(_) => (None, None),
    };
    info!(target: AUDIT, user = caller.user, target = %request.key, from, to, wanted = ?request.count, reason = request.reason,
        dry_run = request.dry_run, outcome = outcome(stored), "audit: set");
}

/// Writes until an attempt meets no other writer.
async fn store(backend: &Backend, caller: &Arc<Identity>, request: &SetRequest) -> Result<StoredSet, Error> {
    let key = &request.key;
    let snapshot = backend.index.get(key);
    // The index may lag behind what the caller has read, so only what was read itself can be unexpected.
    let (mut existing, mut found, mut is_read) = (snapshot.count.clone(), None, false);
    for _ in 0..MAX_ATTEMPTS {
        let target = check(backend, caller, request, &snapshot, existing.as_deref(), found.take()).await?;
        let spec = spec_after(existing.as_deref(), &target.kind, request, target.observed())?;
        let write = Write {
            key,
            user: &caller.user,
            is_override: request.until.is_some(),
            version: request.version.exactly(),
            dry_run: request.dry_run,
        };
        let stored = match &existing {
            existing if !request.version.admits(existing.as_deref()) => {
                if is_read {
                    return Err(unexpected_version(key, existing.as_deref()));
                }
                None
            }
            Some(existing) if existing.deleting => {
                if is_read {
                    conflicts::check_deleting(key, existing)?;
                }
                None
            }
            Some(existing) => backend.writer.replace(write, existing, &spec).await?,
            None => backend.writer.create(write, spec.clone()).await?,
        };
        let Some(count) = stored else {
            let count = backend.writer.read(key).await?;
            let of_target = |count| conflicts::check_target(key, &count).map(|()| Arc::new(count.into()));
            existing = count.map(of_target).transpose()?;
            (found, is_read) = (Some(target), true);
            continue;
        };
        let now = Timestamp::now();
        return Ok(StoredSet {
            unchanged: existing.as_deref().is_some_and(|before| is_same(before, &count)),
            changed: changed(&spec, &count.spec, now),
            count,
            old_desired: existing.as_ref().and_then(|before| before.desired(now)),
            override_cleared: request.until.is_none()
                && existing.is_some_and(|before| before.active_override(now).is_some()),
            target: target.target,
        });
    }
    Err(Error::Contended(key.clone()))
}

/// Refuses a write to another `ReplicaCount` than the caller has read.
pub(super) fn unexpected_version(key: &TargetKey, existing: Option<&ReplicaCountState>) -> Error {
    let message = match existing {
        Some(existing) => {
            format!("{key} was changed since it was read: its resource version is {} by now", existing.resource_version)
        }
        None => format!("{key} is not managed any more"),
    };
    Error::Precondition { reason: reasons::UNEXPECTED_VERSION, message }
}

/// Whether a Set has changed nothing: neither the spec, nor who has set which part of it, nor a request for the count from
/// before.
fn is_same(before: &ReplicaCountState, after: &ReplicaCountState) -> bool {
    let has_same_setters =
        before.writers.set_by == after.writers.set_by && before.writers.override_ == after.writers.override_;
    before.spec == after.spec && has_same_setters && before.restore == after.restore
}

/// What the API server stored otherwise than it was sent: an admission policy or a webhook changed it.
fn changed(sent: &ReplicaCountSpec, stored: &ReplicaCountSpec, now: Timestamp) -> Option<String> {
    let (wanted, desired) = (sent.desired(now), stored.desired(now));
    if let (Some(wanted), Some(desired)) = (wanted, desired)
        && wanted != desired
    {
        return Some(format!(
            "admission stored {desired} replicas instead of {wanted}: an admission policy or a webhook changes ReplicaCounts"
        ));
    }
    let text = |spec: &ReplicaCountSpec| serde_json::to_value(spec).ok();
    let message =
        "an admission policy or a webhook changed the ReplicaCount: what is stored differs from what was sent";
    (text(sent) != text(stored)).then(|| message.to_owned())
}

/// Checks everything that can refuse a Set, before each attempt: a lost race can change the right that the write needs,
/// and who manages the `ReplicaCount`. The target is looked up once, in the first attempt.
async fn check(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: &SetRequest,
    snapshot: &TargetSnapshot,
    existing: Option<&ReplicaCountState>,
    found: Option<FoundTarget>,
) -> Result<FoundTarget, Error> {
    let key = &request.key;
    // The right comes first: a caller without it learns nothing about what exists.
    let action = match existing {
        Some(_) => Action::on_replica_counts("update", &key.namespace, &key.replica_count_name()),
        // RBAC cannot restrict create by name.
        None => Action::on_replica_counts("create", &key.namespace, ""),
    };
    backend.authorizer.check(caller, action).await?;
    let found = match found {
        Some(found) => found,
        None => find_target(backend, snapshot).await?,
    };
    if found.target.is_none() && !request.allow_missing {
        return Err(Error::TargetNotFound(key.clone()));
    }
    check_expected(request, found.observed())?;
    conflicts::check_controller(key, found.target.as_deref())?;
    if !request.force {
        conflicts::check_autoscaler(backend.admission_mode, true, key, snapshot.autoscaler.as_deref())?;
        existing.map_or(Ok(()), |existing| conflicts::check_managed_by(key, existing))?;
    }
    Ok(found)
}

pub(super) async fn find_target(backend: &Backend, snapshot: &TargetSnapshot) -> Result<FoundTarget, Error> {
    let kind = backend.kind(&snapshot.key).await?;
    let target = match &snapshot.target {
        Some(target) => Some(target.clone()),
        None => backend.read_target(&snapshot.key, &kind).await?.map(Arc::new),
    };
    Ok(FoundTarget { kind, target })
}

fn check_expected(request: &SetRequest, observed: Option<i32>) -> Result<(), Error> {
    match request.expected {
        Some(expected) if observed != Some(expected) => {
            let now = observed.map_or("none".to_owned(), |count| count.to_string());
            let message = format!("{} has {now} replicas, not the expected {expected}", request.key);
            Err(Error::Precondition { reason: reasons::UNEXPECTED_COUNT, message })
        }
        _ => Ok(()),
    }
}

/// The spec that a Set leads to.
fn spec_after(
    existing: Option<&ReplicaCountState>,
    kind: &TargetKind,
    request: &SetRequest,
    observed: Option<i32>,
) -> Result<ReplicaCountSpec, Error> {
    let before = existing.map(|existing| &existing.spec);
    let missing = || Error::TargetNotFound(request.key.clone());
    let replicas = match request.count {
        RequestedCount::Exactly(replicas) => replicas,
        RequestedCount::Current => observed.ok_or_else(missing)?,
    };
    // A custom resource may have a negative count, and a `ReplicaCount` may not.
    let known = before.map_or(observed, |spec| spec.original_replicas).filter(|count| *count >= 0);
    let original_replicas = request.original.or(known);
    let scale_target_ref = ScaleTargetRef {
        api_version: kind.api_version(),
        kind: request.key.kind.kind.to_string(),
        name: request.key.name.to_string(),
    };
    let is_same_override = |over: &Override| request.until.is_some() && over.replicas == replicas;
    let is_same = |spec: &ReplicaCountSpec| request.until.is_none() && spec.replicas == replicas;
    let of_override =
        existing.and_then(|before| before.active_override(Timestamp::now())).filter(|over| is_same_override(over));
    let of_lasting = before.filter(|spec| is_same(spec)).map(|spec| &spec.reason);
    // The same count again keeps its reason, unless there is a new one.
    let keeps_reason = request.reason.is_empty() && !request.replace_reason;
    let known = of_override.map(|over| &over.reason).or(of_lasting).filter(|_| keeps_reason);
    let reason = known.unwrap_or(&request.reason).clone();
    Ok(match request.until {
        None => ReplicaCountSpec { scale_target_ref, replicas, original_replicas, reason, override_: None },
        Some(until) => {
            let lasting = request.lasting.clone().or_else(|| before.map(|spec| (spec.replicas, spec.reason.clone())));
            // An unmanaged target keeps its present count as the lasting count after the override.
            let lasting = lasting.or_else(|| observed.map(|count| (count, String::new())));
            let (lasting, lasting_reason) = lasting.ok_or_else(missing)?;
            ReplicaCountSpec {
                scale_target_ref,
                replicas: lasting,
                original_replicas,
                reason: lasting_reason,
                override_: Some(Override { replicas, until: Time(until), reason, then_unset: request.then_unset }),
            }
        }
    })
}

#[cfg(test)]
mod tests;
