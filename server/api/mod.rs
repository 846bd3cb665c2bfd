//! The Kubernetes objects that the server reads and writes, and the names it knows them by.

#[cfg(test)]
mod fuzz;
mod key;
mod kind;
mod owners;
mod replica_count;
mod target;

pub use key::{GroupKind, InvalidTarget, TargetKey};
pub use kind::{FieldPath, ReadyPath, TargetKind};
pub use owners::{Applier, Operation, Owners, Writer};
pub use replica_count::{
    Change, Drift, Drifter, GROUP, Override, ReplicaCount, ReplicaCountSpec, ReplicaCountStatus, SET_BY, ScaleTargetRef,
};
pub(crate) use target::parse_resource_version;
pub use target::{Target, TargetState, key_of};

/// The field manager of everything that this server writes.
pub const FIELD_MANAGER: &str = "replica-count-manager";
