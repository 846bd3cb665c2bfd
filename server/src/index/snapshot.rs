//! What the index knows of one target at one moment.

use std::sync::Arc;

use jiff::Timestamp;

use crate::resources::{ReplicaCountState, TargetKey, TargetKind, TargetState, Uid};

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
    /// What the change replaced, if the snapshot is one of a change.
    pub replaced: Option<ReplacedVersion>,
}

/// The resource version of the state that a change replaced; 0 if there was no object. Only the events of a watch have
/// one: the states between a list and the state before it are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacedVersion {
    /// Of the target.
    Target(u64),
    /// Of its `ReplicaCount`.
    Count(u64),
}

/// The targets that a reader asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The managed targets or all.
    pub(crate) all_targets: bool,
    /// The namespace; `None` means all.
    pub(crate) namespace: Option<&'a str>,
}

/// The targets that one hold of the lock has read.
pub(crate) struct Page {
    pub(crate) entries: Vec<TargetSnapshot>,
    /// The last key of the page, if more targets follow.
    pub(crate) next: Option<TargetKey>,
}

/// One change of the index, for its subscribers.
#[derive(Clone, Debug)]
pub struct Change {
    /// What the change replaced.
    pub replaced: Replaced,
    /// The target after the change.
    pub after: TargetSnapshot,
}

/// The part of a target's snapshot that a change replaced.
#[derive(Clone, Debug)]
pub enum Replaced {
    /// The target's state, if the index knew it.
    Target(Option<Arc<TargetState>>),
    /// The `ReplicaCount`, if there was one.
    Count(Option<Arc<ReplicaCountState>>),
    /// Neither: the change is one of its kind or of its autoscaler, or none, because the state was an older one.
    Neither,
}

impl Replaced {
    /// The version of the state that an event of a watch replaced by an object with this UID.
    pub(super) fn version(&self, uid: Option<&Uid>) -> Option<ReplacedVersion> {
        // Another object of the same name replaces nothing: it was created.
        match self {
            Self::Target(target) => {
                let same = target.as_ref().filter(|target| Some(&target.uid) == uid);
                Some(ReplacedVersion::Target(same.map_or(0, |target| target.resource_version)))
            }
            Self::Count(count) => {
                let same = count.as_ref().filter(|count| Some(&count.uid) == uid);
                Some(ReplacedVersion::Count(same.map_or(0, |count| count.resource_version)))
            }
            Self::Neither => None,
        }
    }
}

impl Change {
    /// The target before the change. Its kind and its autoscaler are those after it.
    pub fn before(&self) -> TargetSnapshot {
        let after = self.after.clone();
        match &self.replaced {
            Replaced::Target(target) => TargetSnapshot { target: target.clone(), ..after },
            Replaced::Count(count) => TargetSnapshot { count: count.clone(), ..after },
            Replaced::Neither => after,
        }
    }
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
