//! What can be watched.

use std::fmt;

use crate::resources::{GroupKind, TargetKind};

/// What a watch of the index watches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchSource {
    /// The `ReplicaCount` objects.
    ReplicaCounts,
    /// The autoscalers.
    Autoscalers,
    /// The targets of one kind.
    Targets(GroupKind),
}

impl WatchSource {
    /// The sources of the permanent watches, which every replica has from its start to its end. Only the
    /// [`ReplicaCounts`](Self::ReplicaCounts) are essential: if another one fails, what depends on it says so, and the
    /// rest goes on.
    pub(super) fn permanent() -> impl Iterator<Item = Self> {
        kinds_always_watched().map(Self::Targets).chain([Self::ReplicaCounts, Self::Autoscalers])
    }
}

impl fmt::Display for WatchSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReplicaCounts => f.write_str("ReplicaCount"),
            Self::Autoscalers => f.write_str("HorizontalPodAutoscaler"),
            Self::Targets(kind) => kind.fmt(f),
        }
    }
}

/// The kinds with permanent watches. They are watched even if no `ReplicaCount` names them, so that their unmanaged
/// targets can be listed.
///
/// ReplicaSets are not among them, because every Deployment keeps up to ten old ones (`revisionHistoryLimit`).
pub(super) fn kinds_always_watched() -> impl Iterator<Item = GroupKind> {
    TargetKind::apps().into_iter().map(|kind| kind.group_kind).filter(|kind| !kind.is_replica_set())
}
