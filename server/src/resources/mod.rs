//! The Kubernetes objects that the server reads and writes, and the names it knows them by.

pub mod api_errors;
mod field_owners;
#[cfg(test)]
mod fuzz;
mod key;
mod kind;
mod labels;
mod replica_count;
mod replica_count_state;
mod target;
mod uid;

pub(crate) use field_owners::owns_replicas;
pub use field_owners::{FieldOwners, Operation, Writer};
pub use key::{GroupKind, GroupKindNames, InvalidTarget, TargetKey};
pub use kind::{FieldPath, ReadyPath, TargetKind};
pub use labels::Labels;
pub use replica_count::{
    Change, Drift, Drifter, GROUP, Override, ReplicaCount, ReplicaCountSpec, ReplicaCountStatus, SET_BY, ScaleTargetRef,
};
pub use replica_count_state::ReplicaCountState;
pub use target::{Target, TargetState, key_of};
pub(crate) use target::{parse_resource_version, resource_version};
pub use uid::Uid;

/// The field manager of everything that this server writes.
pub const FIELD_MANAGER: &str = "replica-count-manager";
