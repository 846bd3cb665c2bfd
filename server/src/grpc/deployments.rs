//! `proto.DeploymentsService`: translates to the RPCs of `replicas.v1.ReplicasService`, for Deployments.

use std::sync::Arc;

use contract::{
    deployments::{self as proto, deployments_service_server::DeploymentsService},
    replicas::v1,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{backend::Backend, caller::caller, error::Error, get, list::Listing, lists::MAX_BYTES, set};
use crate::{
    resources::{GroupKind, TargetKey},
    tls::Identity,
};

/// The service.
pub(super) struct Deployments(pub(super) Backend);

#[tonic::async_trait]
impl DeploymentsService for Deployments {
    async fn list_deployments(
        &self,
        request: Request<proto::ListDeploymentsRequest>,
    ) -> Result<Response<proto::ListDeploymentsResponse>, Status> {
        let caller = caller(&request)?;
        let namespace = request.into_inner().namespace;
        Ok(list_all(&self.0, &caller, namespace).await.map_err(Error::for_deployments)?)
    }

    async fn get_deployment(
        &self,
        request: Request<proto::GetDeploymentRequest>,
    ) -> Result<Response<proto::GetDeploymentResponse>, Status> {
        let caller = caller(&request)?;
        let proto::GetDeploymentRequest { name, namespace } = request.into_inner();
        let request =
            v1::GetReplicaCountRequest { target: Some(target(&namespace, &name)), min_resource_version: String::new() };
        let count = get::get(&self.0, &caller, request)
            .await
            .map_err(Error::for_deployments)?
            .replica_count
            .unwrap_or_default();
        let key = || TargetKey::new(&namespace, "", "", &name).map_err(Error::from);
        if count.desired.is_none() {
            return Err(Error::NotManaged(key()?).into());
        }
        if count.observed.is_none() {
            return Err(Error::TargetNotFound(key()?).into());
        }
        Ok(Response::new(proto::GetDeploymentResponse {
            name,
            namespace,
            current_replicas: count.observed,
            desired_replicas: count.desired,
        }))
    }

    async fn set_deployment(
        &self,
        request: Request<proto::SetDeploymentRequest>,
    ) -> Result<Response<proto::SetDeploymentResponse>, Status> {
        let caller = caller(&request)?;
        let proto::SetDeploymentRequest { name, namespace, replicas } = request.into_inner();
        let request =
            v1::SetReplicaCountRequest { target: Some(target(&namespace, &name)), replicas, ..Default::default() };
        let set = set::set(&self.0, &caller, request).await.map_err(Error::for_deployments)?;
        Ok(Response::new(proto::SetDeploymentResponse {
            name,
            namespace,
            old_replicas: set.old_desired,
            new_replicas: set.replica_count.and_then(|count| count.desired),
        }))
    }
}

/// Lists in one answer, since the request has no page token.
async fn list_all(
    backend: &Backend,
    caller: &Arc<Identity>,
    namespace: String,
) -> Result<Response<proto::ListDeploymentsResponse>, Error> {
    let request = v1::ListReplicaCountsRequest { namespace, ..Default::default() };
    let listing = Listing::of(backend, caller, request).await?;
    let place = backend.lists.all_pages(caller).await?;
    let (mut response, mut bytes) = (proto::ListDeploymentsResponse::default(), 0);
    let mut after = None;
    loop {
        let (page, next) = listing.page(&backend.index, after).await;
        for config in page.into_iter().filter_map(config) {
            // An entry of a repeated field has a tag of one byte, and up to two bytes of length.
            bytes += config.encoded_len() + 3;
            response.deployments_replica_config.push(config);
        }
        if bytes > MAX_BYTES {
            return Err(Error::TooLongList(MAX_BYTES));
        }
        match next {
            Some(_) => after = next,
            None => return Ok(place.answer(response)),
        }
    }
}

fn target(namespace: &str, name: &str) -> v1::Target {
    v1::Target { namespace: namespace.to_owned(), name: name.to_owned(), ..Default::default() }
}

/// The entry of a held Deployment. A `ReplicaCount` that waits for a finalizer holds nothing, and answers always carry counts.
fn config(count: v1::ReplicaCount) -> Option<proto::DeploymentReplicaConfig> {
    let target = count.target?;
    let desired = count.desired?;
    let kind = GroupKind::new(&target.kind, &target.group);
    kind.is_deployment().then_some(proto::DeploymentReplicaConfig {
        name: target.name,
        namespace: target.namespace,
        replicas: Some(desired),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deployments_that_are_held_are_listed() {
        for (name, kind, desired, expected) in [
            ("held", "Deployment", Some(3), Some(Some(3))),
            ("held at 0", "Deployment", Some(0), Some(Some(0))),
            ("waits for a finalizer", "Deployment", None, None),
            ("another kind", "StatefulSet", Some(3), None),
        ] {
            let target = v1::Target { group: "apps".to_owned(), kind: kind.to_owned(), ..target("shop", "web") };
            let listed = config(v1::ReplicaCount { target: Some(target), desired, ..Default::default() });
            assert_eq!(listed.map(|listed| listed.replicas), expected, "{name}");
        }
    }
}
