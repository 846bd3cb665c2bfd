//! The Kubernetes objects that the server reads and writes, and how the server names them.
//!
//! Nothing here calls the API server.

mod access;
pub mod api_errors;
mod condition;
pub mod conditions;
mod exact_time;
mod field_owners;
mod field_path;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod fuzz;
mod group_kind;
mod key;
mod kind;
mod labels;
mod lenient;
mod names;
mod replica_count;
mod replica_count_history;
mod replica_count_state;
mod resource_version;
mod service_account;
mod spec_writers;
mod target;
mod text;
mod uid;

pub(crate) use self::{
    access::is_allowed,
    field_owners::owns_replicas,
    key::check_namespace_name,
    lenient::{read_field_owner, retain_readable},
    resource_version::{parse_resource_version, resource_version},
    service_account::service_account_groups,
    text::beginning,
};
pub use self::{
    condition::Condition,
    conditions::reasons,
    field_owners::{FieldOwners, MAX_OWNERS, Operation, Writer},
    field_path::FieldPath,
    group_kind::{GroupKind, GroupKindNames},
    key::{InvalidTarget, TargetKey},
    kind::{ReadyPath, TargetKind},
    labels::Labels,
    lenient::{Lenient, Repair, Unreadable},
    names::{FIELD_MANAGER, GROUP, OVERRIDE_SET_BY, RESTORE, SET_AT, SET_BY},
    replica_count::{ObservedSpec, Override, ReplicaCount, ReplicaCountSpec, ReplicaCountStatus, ScaleTargetRef},
    replica_count_history::{Attempt, Change, Drift, Drifter},
    replica_count_state::{DecidedCount, ReplicaCountState, RestoreRequest},
    spec_writers::{OverrideWriters, SpecWriters},
    target::{Target, TargetState, key_of},
    uid::Uid,
};
