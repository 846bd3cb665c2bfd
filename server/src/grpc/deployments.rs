//! `proto.DeploymentsService`: translates to the RPCs of `replicas.v1.ReplicasService`, for Deployments.

use contract::{
    deployments::{self as proto, deployments_service_server::DeploymentsService},
    replicas::v1,
};
use tonic::{Request, Response, Status};

use super::{backend::Backend, caller::caller, error::Error, get, list, set};
use crate::resources::{GroupKind, TargetKey};

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
        let mut response = proto::ListDeploymentsResponse::default();
        let mut page_token = String::new();
        loop {
            let request =
                v1::ListReplicaCountsRequest { namespace: namespace.clone(), page_token, ..Default::default() };
            let page = list::list(&self.0, &caller, request).await.map_err(Error::for_deployments)?;
            response.deployments_replica_config.extend(page.replica_counts.into_iter().filter_map(config));
            if page.next_page_token.is_empty() {
                return Ok(Response::new(response));
            }
            page_token = page.next_page_token;
        }
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
        if count.observed.is_none() {
            return Err(Error::TargetNotFound(TargetKey::new(&namespace, "", "", &name).map_err(Error::from)?).into());
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

fn target(namespace: &str, name: &str) -> v1::Target {
    v1::Target { namespace: namespace.to_owned(), name: name.to_owned(), ..Default::default() }
}

fn config(count: v1::ReplicaCount) -> Option<proto::DeploymentReplicaConfig> {
    let target = count.target?;
    let kind = GroupKind::new(&target.kind, &target.group);
    kind.is_deployment().then_some(proto::DeploymentReplicaConfig {
        name: target.name,
        namespace: target.namespace,
        replicas: count.desired,
    })
}
