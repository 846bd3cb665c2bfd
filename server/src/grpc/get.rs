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
    match (&snapshot.count, &snapshot.target) {
        (None, None) => Err(Error::TargetNotFound(key)),
        (None, Some(_)) => Err(Error::NotManaged(key)),
        (Some(_), _) => {
            let replica_count = Some(convert::replica_count(&snapshot, Timestamp::now()));
            Ok(GetReplicaCountResponse { replica_count })
        }
    }
}
