//! The objects of the group `apps` in protobuf, and in JSON.
//!
//! The field numbers are those of Kubernetes' `api/apps/v1/generated.proto`. Kubernetes never reuses a number.

use prost::{Message, bytes::Bytes};
use serde::Serialize;

use super::{malformed::Malformed, metadata::ObjectMeta};

/// An object of the group `apps`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Object {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<Spec>,
    /// The status. Its message differs by kind.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) status: Bytes,
}

/// The spec. The field of the count has the same number in every kind of the group.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[prost(int32, optional, tag = "1")]
    pub(super) replicas: Option<i32>,
}

/// The status of a Deployment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeploymentStatus {
    #[prost(int32, tag = "7")]
    pub(super) ready_replicas: i32,
}

/// The status of a StatefulSet.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatefulSetStatus {
    #[prost(int32, tag = "3")]
    pub(super) ready_replicas: i32,
}

/// The status of a ReplicaSet.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReplicaSetStatus {
    #[prost(int32, tag = "4")]
    pub(super) ready_replicas: i32,
}

/// An object of the group `apps`, to be written as JSON.
#[derive(Serialize)]
pub(super) struct Workload {
    metadata: Option<ObjectMeta>,
    spec: Spec,
    status: WorkloadStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadStatus {
    ready_replicas: i32,
}

impl Object {
    /// Reads the status, whose message differs by kind.
    pub(super) fn of_kind(self, kind: &[u8]) -> Result<Workload, Malformed> {
        let Self { metadata, spec, status } = self;
        let ready_replicas = match kind {
            b"Deployment" => DeploymentStatus::decode(status)?.ready_replicas,
            b"StatefulSet" => StatefulSetStatus::decode(status)?.ready_replicas,
            b"ReplicaSet" => ReplicaSetStatus::decode(status)?.ready_replicas,
            _ => return Err(Malformed::Kind),
        };
        Ok(Workload { metadata, spec: spec.unwrap_or_default(), status: WorkloadStatus { ready_replicas } })
    }
}
