//! The Kubernetes objects that the server reads and writes, and the names it knows them by.

mod replica_count;
mod target;
mod writer;

pub use replica_count::{
    Change, Drift, Drifter, GROUP, Override, ReplicaCount, ReplicaCountSpec, ReplicaCountStatus, SET_BY, ScaleTargetRef,
};
pub(crate) use target::parse_resource_version;
pub use target::{GroupKind, InvalidTarget, Target, TargetKey, TargetKind, TargetState};
pub use writer::{Operation, Writer};

/// The field manager of everything that this server writes.
pub const FIELD_MANAGER: &str = "replica-count-manager";
