//! The names by which the server marks what it writes.

pub use contract::names::GROUP;

/// The field manager of every write by this server.
pub const FIELD_MANAGER: &str = "replica-count-manager";

/// The annotation of a `ReplicaCount` that names the gRPC user who set the lasting count.
///
/// The server trusts it only while it is itself the last writer of `spec.replicas`, because other writers leave the
/// annotation unchanged, and only until another one changes the annotation.
pub const SET_BY: &str = "replica-count-manager.io/set-by";

/// The annotation of a `ReplicaCount` that names the gRPC user who set the override. It is trusted as [`SET_BY`].
pub const OVERRIDE_SET_BY: &str = "replica-count-manager.io/override-set-by";

/// The annotation of a `ReplicaCount` with the time of the latest Set. A Set of what holds already changes nothing else,
/// and the leader tries a refused correction again.
pub const SET_AT: &str = "replica-count-manager.io/set-at";

/// The annotation of a `ReplicaCount` whose target gets the count from before back. It names the generation
/// that this is about, and the gRPC user who asked for it. The leader puts that count in place and then deletes the object.
pub const RESTORE: &str = "replica-count-manager.io/restore";
