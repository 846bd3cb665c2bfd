//! Reads the replica count of a target, whether it is managed or not.

use std::collections::{BTreeMap, BTreeSet};

use contract::{
    names::reasons,
    replicas::v1::{GetReplicaCountRequest, ListReplicaCountsRequest, ReplicaCount, Target},
};

use futures::{StreamExt, TryStreamExt, stream};

use super::batch::AT_ONCE;
use crate::{
    refusal,
    session::{CallError, Session},
    target,
};

/// Reads the replica count of a target.
///
/// An unmanaged target is read, too, if the caller may list targets of its kind. Otherwise the server's refusal is
/// returned.
pub(super) async fn of_target(session: &Session, target: &Target) -> Result<ReplicaCount, CallError> {
    match managed(session, target).await {
        Err(refused) if refusal::is_for(&refused, reasons::NOT_MANAGED) => {
            match unmanaged(session, target).await {
                Ok(Some(count)) => Ok(count),
                // If the list is refused or does not contain the target, the first refusal says more.
                Ok(None) | Err(CallError::Refused(_)) => Err(refused),
                Err(error) => Err(error),
            }
        }
        read => read,
    }
}

/// Reads several at once, in their order. The first failure ends it.
pub(super) async fn each<T, U>(all: &[T], read: impl AsyncFn(&T) -> Result<U, CallError>) -> Result<Vec<U>, CallError> {
    stream::iter(all).map(|one| read(one)).buffered(AT_ONCE).try_collect().await
}

/// Reads the state of a target before a write: without a resource version if it is not managed.
///
/// The count of an unmanaged target is read only `with_unmanaged`, since that takes a list. Returns None if the caller may
/// not read the target, or if the server cannot: the write itself then says why it fails.
pub(super) async fn before(
    session: &Session,
    target: &Target,
    with_unmanaged: bool,
) -> Result<Option<ReplicaCount>, CallError> {
    match managed(session, target).await {
        Ok(count) => Ok(Some(count)),
        Err(refused) if is_unmanaged(&refused) => {
            let found = if with_unmanaged { unmanaged(session, target).await } else { Ok(None) };
            match found {
                Ok(Some(count)) => Ok(Some(count)),
                Ok(None) | Err(CallError::Refused(_)) => {
                    Ok(Some(ReplicaCount { target: Some(target.clone()), ..ReplicaCount::default() }))
                }
                Err(error) => Err(error),
            }
        }
        Err(CallError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads targets, in their order, once the server knows this resource version. A target that is not managed has no count
/// if the caller may not list its kind.
pub(super) async fn since(
    session: &Session,
    targets: &[Target],
    min_resource_version: String,
) -> Result<Vec<ReplicaCount>, CallError> {
    if let [target] = targets {
        let request = GetReplicaCountRequest { target: Some(target.clone()), min_resource_version };
        let read = session.answer(session.client.clone().get_replica_count(request)).await;
        return Ok(vec![match read {
            Ok(response) => response.replica_count.unwrap_or_default(),
            Err(refused) if is_unmanaged(&refused) => before(session, target, true).await?.unwrap_or_default(),
            Err(error) => return Err(error),
        }]);
    }
    let mut known = BTreeMap::new();
    for namespace in targets.iter().map(|target| &target.namespace).collect::<BTreeSet<_>>() {
        let request = ListReplicaCountsRequest {
            namespace: namespace.clone(),
            all_targets: true,
            min_resource_version: min_resource_version.clone(),
            ..ListReplicaCountsRequest::default()
        };
        let counts = list(session, request).await?;
        known.extend(counts.into_iter().filter_map(|count| Some((key(count.target.as_ref()?), count))));
    }
    Ok(targets.iter().map(|target| known.remove(&key(target)).unwrap_or_default()).collect())
}

/// The namespace and the name of a target, by which it is found in a list.
pub(super) fn key(target: &Target) -> (String, String) {
    (target.namespace.clone(), target::name(target))
}

fn is_unmanaged(error: &CallError) -> bool {
    [reasons::NOT_MANAGED, reasons::TARGET_NOT_FOUND].iter().any(|reason| refusal::is_for(error, reason))
}

/// Reads the replica count of a managed target.
pub(super) async fn managed(session: &Session, target: &Target) -> Result<ReplicaCount, CallError> {
    let request = GetReplicaCountRequest { target: Some(target.clone()), ..GetReplicaCountRequest::default() };
    let response = session.answer(session.client.clone().get_replica_count(request)).await?;
    Ok(response.replica_count.unwrap_or_default())
}

/// Looks for a target in the list of all targets of its namespace, because Get returns only managed ones.
async fn unmanaged(session: &Session, target: &Target) -> Result<Option<ReplicaCount>, CallError> {
    let request = ListReplicaCountsRequest {
        namespace: target.namespace.clone(),
        all_targets: true,
        ..ListReplicaCountsRequest::default()
    };
    let name = target::name(target);
    let is_it = |count: &ReplicaCount| count.target.as_ref().is_some_and(|it| target::name(it) == name);
    Ok(list(session, request).await?.into_iter().find(is_it))
}

/// Gets all pages of a list.
pub(super) async fn list(
    session: &Session,
    mut request: ListReplicaCountsRequest,
) -> Result<Vec<ReplicaCount>, CallError> {
    let mut counts = Vec::new();
    loop {
        let page = session.answer(session.client.clone().list_replica_counts(request.clone())).await?;
        counts.extend(page.replica_counts);
        if page.next_page_token.is_empty() {
            return Ok(counts);
        }
        request.page_token = page.next_page_token;
    }
}
