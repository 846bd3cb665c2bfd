//! `replicas.v1.ReplicasService`. Each RPC is in a file of its own.

use std::pin::Pin;

use contract::replicas::v1::{self, replicas_service_server::ReplicasService};
use futures::Stream;
use tonic::{Request, Response, Status};

use super::{backend::Backend, caller::caller, get, list, server_info, set, unset, watch};

/// The service.
pub(super) struct Replicas(pub(super) Backend);

#[tonic::async_trait]
impl ReplicasService for Replicas {
    async fn list_replica_counts(
        &self,
        request: Request<v1::ListReplicaCountsRequest>,
    ) -> Result<Response<v1::ListReplicaCountsResponse>, Status> {
        let caller = caller(&request)?;
        Ok(list::list(&self.0, &caller, request.into_inner()).await?)
    }

    async fn get_replica_count(
        &self,
        request: Request<v1::GetReplicaCountRequest>,
    ) -> Result<Response<v1::GetReplicaCountResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(get::get(&self.0, &caller, request.into_inner()).await?))
    }

    async fn set_replica_count(
        &self,
        request: Request<v1::SetReplicaCountRequest>,
    ) -> Result<Response<v1::SetReplicaCountResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(set::set(&self.0, &caller, request.into_inner()).await?))
    }

    async fn unset_replica_count(
        &self,
        request: Request<v1::UnsetReplicaCountRequest>,
    ) -> Result<Response<v1::UnsetReplicaCountResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(unset::unset(&self.0, &caller, request.into_inner()).await?))
    }

    type WatchReplicaCountsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchReplicaCountsResponse, Status>> + Send>>;

    async fn watch_replica_counts(
        &self,
        request: Request<v1::WatchReplicaCountsRequest>,
    ) -> Result<Response<Self::WatchReplicaCountsStream>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(Box::pin(watch::watch(&self.0, caller, request.into_inner()).await?)))
    }

    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        Ok(Response::new(server_info::server_info(&self.0, &*caller(&request)?)))
    }
}
