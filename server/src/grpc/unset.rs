//! UnsetReplicaCount: stops managing a target, and lets the leader put back the count from before if asked to.

use std::{sync::Arc, time::Duration};

use contract::{
    names::reasons,
    replicas::v1::{UnsetReplicaCountRequest, UnsetReplicaCountResponse},
};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::info;

use super::{
    action::Action,
    backend::{Backend, CATCH_UP},
    conflicts, convert,
    error::{Error, outcome},
    set::{find_target, unexpected_version},
    validate::UnsetRequest,
    writer::{MAX_ATTEMPTS, within_timeout},
};
use crate::{
    index::TargetSnapshot,
    resources::{
        Condition, ReplicaCountState, TargetKey, Uid,
        conditions::{READY, reasons::CORRECTION_FAILED, statuses::FALSE},
    },
    telemetry::AUDIT,
    tls::Identity,
};

/// How long the leader may take to put a count back. A lost leader is replaced within 15 s.
const RESTORE: Duration = Duration::from_secs(17);

/// How many finalizers a warning names.
const MAX_FINALIZERS: usize = 3;

/// An Unset that nothing refuses.
struct CheckedUnset {
    snapshot: TargetSnapshot,
    count: Arc<ReplicaCountState>,
    /// The count to put back, if asked to.
    restore: Option<Restore>,
    /// What keeps the object after the management has ended, for people.
    left: Option<String>,
}

/// The count to put back on a target.
struct Restore {
    /// The count from before the target was managed, in replicas.
    original: i32,
    /// The count that the target has afterwards, in replicas; `None` if there is no such target.
    restored: Option<i32>,
}

impl Restore {
    /// Says which count the target has, if it is not the original one.
    fn warning(&self) -> Option<String> {
        let original = self.original;
        match self.restored {
            None => Some("there is no such target, so no count was put back".to_owned()),
            Some(restored) if restored != original => Some(format!(
                "the target has {restored} replicas, not the {original} from before: an admission policy, a webhook or \
                another program changed the count"
            )),
            Some(_) => None,
        }
    }
}

pub(super) async fn unset(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: UnsetReplicaCountRequest,
) -> Result<UnsetReplicaCountResponse, Error> {
    let request = backend.validator.unset(request)?;
    backend.ready_to_read("").await?;
    let done = within_timeout(check_and_apply(backend, caller, &request)).await;
    audit(caller, &request, &done);
    let CheckedUnset { snapshot, count, restore, left } = done?;
    let snapshot = TargetSnapshot { count: Some(count), ..snapshot };
    Ok(UnsetReplicaCountResponse {
        replica_count: Some(convert::replica_count(&snapshot, Timestamp::now())),
        restored: restore.as_ref().and_then(|restore| restore.restored),
        warnings: restore.iter().filter_map(Restore::warning).chain(left).collect(),
        resource_version: backend.index.version().to_string(),
    })
}

fn audit(caller: &Identity, request: &UnsetRequest, done: &Result<CheckedUnset, Error>) {
    let (from, to) = match done {
        Ok(done) => {
            let restored = done.restore.as_ref().and_then(|restore| restore.restored);
            (done.count.desired(Timestamp::now()), restored)
        }
        Err(_) => (None, None),
    };
    info!(target: AUDIT, user = caller.user, target = %request.key, from, to, dry_run = request.dry_run, outcome = outcome(done),
        "audit: unset");
}

async fn check_and_apply(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: &UnsetRequest,
) -> Result<CheckedUnset, Error> {
    // The index may lag behind, so each further attempt reads the object itself.
    for attempt in 0..MAX_ATTEMPTS {
        let mut unset = check(backend, caller, request, attempt > 0).await?;
        if request.dry_run || apply(backend, caller, request, &mut unset).await? {
            return Ok(unset);
        }
    }
    Err(Error::Contended(request.key.clone()))
}

/// Writes. Returns false if the object has changed since it was checked.
async fn apply(
    backend: &Backend,
    caller: &Identity,
    request: &UnsetRequest,
    unset: &mut CheckedUnset,
) -> Result<bool, Error> {
    let UnsetRequest { key, version, .. } = request;
    let Some(to) = &mut unset.restore else {
        let is_deleted = backend.writer.delete(key, &unset.count.uid, version.exactly()).await?;
        if is_deleted {
            await_deletion(backend, key, &unset.count.uid).await;
            unset.left = read_finalizers(backend, key, &unset.count.uid).await;
        }
        return Ok(is_deleted);
    };
    let kind = backend.kind(key).await?;
    let asked = backend.writer.restore(key, &unset.count, to.original, &caller.user, version.exactly()).await?;
    let Some(asked) = asked else { return Ok(false) };
    await_restore(backend, key, &asked).await?;
    to.restored = backend.read_target(key, &kind).await?.and_then(|target| target.replicas);
    unset.left = read_finalizers(backend, key, &asked.uid).await;
    Ok(true)
}

/// Checks everything that can refuse an Unset.
async fn check(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: &UnsetRequest,
    reads: bool,
) -> Result<CheckedUnset, Error> {
    let UnsetRequest { key, restore, force, .. } = request;
    let name = key.replica_count_name();
    // The rights come first: a caller without them learns nothing about what exists.
    backend.authorizer.check(caller, Action::on_replica_counts("delete", &key.namespace, &name)).await?;
    if *restore {
        backend.authorizer.check(caller, Action::on_replica_counts("update", &key.namespace, &name)).await?;
    }
    let snapshot = backend.index.get(key);
    let count = match &snapshot.count {
        Some(count) if !reads && request.version.admits(Some(count)) => Some(count.clone()),
        // The index may not know it yet, or not its present version.
        _ => {
            let stored = backend.writer.read(key).await?;
            stored.filter(|count| conflicts::check_target(key, count).is_ok()).map(|count| Arc::new(count.into()))
        }
    };
    let count = count.ok_or_else(|| Error::NotManaged(key.clone()))?;
    if !request.version.admits(Some(&count)) {
        return Err(unexpected_version(key, Some(&count)));
    }
    if !force {
        conflicts::check_managed_by(key, &count)?;
    }
    let restore = if *restore { Some(check_restore(backend, request, &snapshot, &count).await?) } else { None };
    Ok(CheckedUnset { snapshot, count, restore, left: None })
}

/// Checks the count to put back as a Set of it: editors of the `ReplicaCount` can write any number there.
async fn check_restore(
    backend: &Backend,
    request: &UnsetRequest,
    snapshot: &TargetSnapshot,
    count: &ReplicaCountState,
) -> Result<Restore, Error> {
    let key = &request.key;
    conflicts::check_restorable(key, count)?;
    let original = count.spec.original_replicas.ok_or_else(|| {
        let message = format!("the count that {key} had before it was managed is unknown");
        Error::Precondition { reason: reasons::NO_ORIGINAL_COUNT, message }
    })?;
    backend.validator.count("spec.originalReplicas", original)?;
    let found = find_target(backend, snapshot).await?;
    conflicts::check_controller(key, found.target.as_deref())?;
    if !request.force {
        conflicts::check_autoscaler(backend.admission_mode, false, key, snapshot.autoscaler.as_deref())?;
    }
    Ok(Restore { original, restored: found.target.map(|_| original) })
}

/// Waits until the leader has put the count back and ended the management.
async fn await_restore(backend: &Backend, key: &TargetKey, asked: &ReplicaCountState) -> Result<(), Error> {
    let mut events = backend.index.changes();
    let wait = async {
        // An index that does not know the object yet says nothing about its end.
        backend.index.reaches(asked.resource_version, RESTORE).await;
        loop {
            let Some(now) = managing(backend, key, &asked.uid) else { return Ok(()) };
            if let Some(problem) = failed_correction(&now) {
                return Err(Error::NotRestored(key.clone(), problem));
            }
            if events.recv().await.is_err() {
                // Events were missed. The index knows the result.
                events = backend.index.changes();
            }
        }
    };
    let late = || {
        let said =
            managing(backend, key, &asked.uid).and_then(|now| unready(&now).map(|ready| ready.message.to_string()));
        Error::NotRestored(key.clone(), said.unwrap_or_else(|| "no replica has done it yet".to_owned()))
    };
    timeout(RESTORE, wait).await.map_err(|_| late())?
}

/// The condition `Ready` if it is False, and about the present spec.
fn unready(count: &ReplicaCountState) -> Option<&Condition> {
    let ready = count.status.conditions.iter().find(|one| one.is(READY, FALSE))?;
    (ready.observed_generation == count.generation).then_some(ready)
}

/// Why the leader could not put a count in place, as the status says.
fn failed_correction(count: &ReplicaCountState) -> Option<String> {
    unready(count).filter(|ready| *ready.reason == *CORRECTION_FAILED).map(|ready| ready.message.to_string())
}

/// The `ReplicaCount` with this UID, while it manages the target. One that waits for a finalizer does not.
fn managing(backend: &Backend, key: &TargetKey, uid: &Uid) -> Option<Arc<ReplicaCountState>> {
    backend.index.get(key).count.filter(|count| count.uid == *uid && !count.deleting)
}

/// Waits until the index knows of a deletion. Unlike other writes, its answer has no resource version to wait for.
async fn await_deletion(backend: &Backend, key: &TargetKey, uid: &Uid) {
    let mut events = backend.index.changes();
    let wait = async { while managing(backend, key, uid).is_some() && events.recv().await.is_ok() {} };
    // The deletion is stored either way: an index that lags only makes the answer's resource version an older one.
    let _ = timeout(CATCH_UP, wait).await;
}

/// Names the finalizers that keep a deleted `ReplicaCount`. Without its finalizers it is gone, and there is nothing to say.
async fn read_finalizers(backend: &Backend, key: &TargetKey, uid: &Uid) -> Option<String> {
    backend.index.get(key).count.filter(|count| count.uid == *uid)?;
    // The management has ended, whether the rest can be found out or not.
    let metadata = backend.writer.read(key).await.ok()??.metadata;
    let finalizers = metadata.finalizers.filter(|_| metadata.uid.as_deref().map(Uid::from).as_ref() == Some(uid))?;
    finalizers_warning(&key.replica_count_name(), &finalizers)
}

/// The warning about a `ReplicaCount` that its finalizers keep.
fn finalizers_warning(name: &str, finalizers: &[String]) -> Option<String> {
    let named = match finalizers {
        [] => return None,
        few if few.len() <= MAX_FINALIZERS => few.join(", "),
        many => format!("{} and {} more", many[..MAX_FINALIZERS].join(", "), many.len() - MAX_FINALIZERS),
    };
    Some(format!(
        "ReplicaCount {name} holds no count any more, but it still exists: it waits for its finalizers {named}, and until \
        they are removed the target cannot be set again"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::fixtures::ReplicaCountBuilder;

    #[test]
    fn what_keeps_a_restore_is_read_from_the_status_of_the_present_spec_alone() {
        for (name, status, reason, observed, failed, said) in [
            ("refused", "False", "CorrectionFailed", 2, true, true),
            ("before the request", "False", "CorrectionFailed", 1, false, false),
            ("its deletion is refused", "False", "Restored", 2, false, true),
            ("in place", "True", "InPlace", 2, false, false),
        ] {
            let ready = json!({"type": "Ready", "status": status, "reason": reason, "message": "no",
                               "observedGeneration": observed, "lastTransitionTime": "2026-01-01T00:00:00Z"});
            let count = ReplicaCountBuilder::new("web").generation(2).status(json!({"conditions": [ready]})).state();
            let found = (failed_correction(&count).is_some(), unready(&count).is_some());
            assert_eq!(found, (failed, said), "{name}");
        }
    }

    #[test]
    fn the_finalizers_that_keep_an_object_are_named() {
        for (name, number, expected) in [
            ("none", 0, None),
            ("one", 1, Some("its finalizers x.io/0, and until")),
            ("a few", 3, Some("its finalizers x.io/0, x.io/1, x.io/2, and until")),
            ("many", 1000, Some("its finalizers x.io/0, x.io/1, x.io/2 and 997 more, and until")),
        ] {
            let finalizers: Vec<_> = (0..number).map(|number| format!("x.io/{number}")).collect();
            let said = finalizers_warning("deployment.web", &finalizers);
            assert_eq!(said.is_some(), expected.is_some(), "{name}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{name}");
        }
    }
}
