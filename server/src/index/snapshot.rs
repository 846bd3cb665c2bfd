//! What the index knows of one target at one moment.

use std::sync::Arc;

use jiff::Timestamp;

use crate::resources::{ReplicaCountState, TargetKey, TargetKind, TargetState};

/// What the index knows of one target at one moment.
#[derive(Clone, Debug)]
pub struct TargetSnapshot {
    /// The target's key.
    pub key: TargetKey,
    /// Its `ReplicaCount`, if it is managed.
    pub count: Option<Arc<ReplicaCountState>>,
    /// Its state, if the index knows it. If the kind is not watched, `None` does not mean that the target is missing.
    pub target: Option<Arc<TargetState>>,
    /// Whether its kind is watched.
    pub kind: KindState,
    /// The name of a HorizontalPodAutoscaler that scales it.
    pub autoscaler: Option<Arc<str>>,
    /// When the snapshot was taken.
    pub at: Timestamp,
}

/// Whether the index knows the targets of a kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KindState {
    /// The first list is not complete.
    #[default]
    Unlisted,
    /// The index knows all of them.
    Watched(Arc<TargetKind>),
    /// The index knows them as they were, because their watch has been failing for a while.
    Failing(Arc<TargetKind>, Arc<Unavailable>),
    /// The index cannot know them.
    Unavailable(Arc<Unavailable>),
}

impl KindState {
    /// The kind, if the index knows its targets.
    pub(crate) fn known(&self) -> Option<&Arc<TargetKind>> {
        match self {
            Self::Watched(kind) | Self::Failing(kind, _) => Some(kind),
            Self::Unlisted | Self::Unavailable(_) => None,
        }
    }
}

/// Why the index cannot know the targets of a kind, or not their newest states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// One of the [`reasons`](crate::resources::reasons), for programs.
    pub reason: &'static str,
    /// The explanation for people.
    pub message: String,
}

/// The time in whole microseconds. A status can store no more, so a more exact time would differ from the one that
/// comes back.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
