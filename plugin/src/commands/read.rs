//! Reads the replica count of a target, whether it is managed or not.

use contract::{
    names::reasons,
    replicas::v1::{GetReplicaCountRequest, ListReplicaCountsRequest, ReplicaCount, Target},
};

use crate::{
    error::Error,
    refusal,
    session::{CallError, Session},
    target::{self, TargetRef},
};

/// Reads the replica count of a target that the user names.
pub(super) async fn named(session: &Session, target: &TargetRef) -> Result<ReplicaCount, Error> {
    let target = session.resolve(target).await?;
    Ok(of_target(session, &target).await?)
}

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
