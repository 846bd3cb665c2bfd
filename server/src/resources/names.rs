//! The names by which the server marks what it writes.

pub use contract::names::GROUP;

/// The field manager of every write by this server.
pub const FIELD_MANAGER: &str = "replica-count-manager";

/// The annotation of a `ReplicaCount` that names the gRPC user who set the lasting count.
///
/// The server trusts it only while it is itself the last writer of `spec.replicas`, because other writers leave the
/// annotation unchanged.
pub const SET_BY: &str = "replica-count-manager.io/set-by";
