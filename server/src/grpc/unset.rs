//! UnsetReplicaCount: stops managing a target, and puts back the count from before if asked to.

use std::sync::Arc;

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
    validate::{ExpectedVersion, UnsetRequest},
    writer::within_timeout,
};
use crate::{
    enforcement::writes::scale,
    index::TargetSnapshot,
    resources::{ReplicaCountState, TargetKey, Uid},
    telemetry::AUDIT,
    tls::Identity,
};

/// An Unset that nothing refuses.
struct CheckedUnset {
    snapshot: TargetSnapshot,
    count: Arc<ReplicaCountState>,
    /// The count to put back, in replicas, if asked to.
    restored: Option<i32>,
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
    let CheckedUnset { snapshot, count, restored } = done?;
    let snapshot = TargetSnapshot { count: Some(count), ..snapshot };
    Ok(UnsetReplicaCountResponse {
        replica_count: Some(convert::replica_count(&snapshot, Timestamp::now())),
        restored,
        resource_version: backend.index.version().to_string(),
    })
}

fn audit(caller: &Identity, request: &UnsetRequest, done: &Result<CheckedUnset, Error>) {
    let (from, to) = match done {
        Ok(done) => (done.count.spec.desired(Timestamp::now()), done.restored),
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
    let unset = check(backend, caller, request).await?;
    if !request.dry_run {
        apply(backend, request, &unset).await?;
    }
    Ok(unset)
}

/// Checks everything that can refuse an Unset.
async fn check(backend: &Backend, caller: &Arc<Identity>, request: &UnsetRequest) -> Result<CheckedUnset, Error> {
    let UnsetRequest { key, restore, force, .. } = request;
    let name = key.replica_count_name();
    // The rights come first: a caller without them learns nothing about what exists.
    backend.authorizer.check(caller, Action::on_replica_counts("delete", &key.namespace, &name)).await?;
    if *restore {
        backend.authorizer.check(caller, Action::on_replica_counts("update", &key.namespace, &name)).await?;
    }
    let snapshot = backend.index.get(key);
    let count = match &snapshot.count {
        Some(count) if request.version.admits(Some(count)) => Some(count.clone()),
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
    let restored = if *restore { Some(check_restore(backend, request, &snapshot, &count).await?) } else { None };
    Ok(CheckedUnset { snapshot, count, restored })
}

/// Checks the count to put back as a Set of it: editors of the `ReplicaCount` can write any number there.
async fn check_restore(
    backend: &Backend,
    request: &UnsetRequest,
    snapshot: &TargetSnapshot,
    count: &ReplicaCountState,
) -> Result<i32, Error> {
    let key = &request.key;
    let original = count.spec.original_replicas.ok_or_else(|| {
        let message = format!("the count that {key} had before it was managed is unknown");
        Error::Precondition { reason: reasons::NO_ORIGINAL_COUNT, message }
    })?;
    backend.validator.count("spec.originalReplicas", original)?;
    let found = find_target(backend, snapshot).await?;
    conflicts::check_controller(key, found.target.as_deref())?;
    if !request.force {
        conflicts::check_autoscaler(key, snapshot.autoscaler.as_deref())?;
    }
    Ok(original)
}

async fn apply(backend: &Backend, request: &UnsetRequest, unset: &CheckedUnset) -> Result<(), Error> {
    let key = &request.key;
    if let Some(original) = unset.restored {
        let kind = backend.kind(key).await?;
        // The ReplicaCount comes first: otherwise the leader would correct the restored count.
        backend.writer.hold_at(key, &unset.count, original).await?;
        match scale::patch(&backend.client, key, &kind, original).await {
            Ok(_) => {}
            // Without a target there is nothing to restore.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A restore has just changed the version.
    let version = if unset.restored.is_none() { request.version } else { ExpectedVersion::Any };
    backend.writer.delete(key, &unset.count.uid, version.exactly()).await?;
    await_deletion(backend, key, &unset.count.uid).await;
    Ok(())
}

/// Waits until the index knows of a deletion. Unlike other writes, its answer has no resource version to wait for.
async fn await_deletion(backend: &Backend, key: &TargetKey, uid: &Uid) {
    let mut events = backend.index.changes();
    let is_gone = || backend.index.get(key).count.is_none_or(|count| count.uid != *uid);
    let wait = async { while !is_gone() && events.recv().await.is_ok() {} };
    // The deletion is stored either way: an index that lags only makes the answer's resource version an older one.
    let _ = timeout(CATCH_UP, wait).await;
}
