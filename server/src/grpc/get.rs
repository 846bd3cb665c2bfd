//! GetReplicaCount: one managed target of the index.

use std::sync::Arc;

use contract::replicas::v1::{GetReplicaCountRequest, GetReplicaCountResponse};
use jiff::Timestamp;

use super::{action::Action, backend::Backend, convert, error::Error};
use crate::tls::Identity;

pub(super) async fn get(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: GetReplicaCountRequest,
) -> Result<GetReplicaCountResponse, Error> {
    let key = backend.validator.target(request.target)?;
    let action = Action::on_replica_counts("get", &key.namespace, &key.replica_count_name());
    backend.authorizer.check(caller, action).await?;
    backend.ready_to_read(&request.min_resource_version).await?;
    let snapshot = backend.index.get(&key);
    if snapshot.count.is_some() {
        let replica_count = Some(convert::with_history(&snapshot, Timestamp::now()));
        return Ok(GetReplicaCountResponse { replica_count });
    }
    // Only a caller who may list unmanaged targets learns whether this one exists. The question comes before the look.
    let may_list = backend.may_list_targets(caller, &key).await?;
    if may_list && snapshot.target.is_none() { Err(Error::TargetNotFound(key)) } else { Err(Error::NotManaged(key)) }
}
