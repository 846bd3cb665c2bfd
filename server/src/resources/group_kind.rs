//! A kind of targets, without its version.

use std::{fmt, ops::Deref, sync::Arc};

/// A kind of targets in any version. It is cheap to clone, because the key of every target holds one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind(Arc<GroupKindNames>);

/// The names of a [`GroupKind`]. Kinds are ordered by kind, then by group.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKindNames {
    /// The kind, such as `Deployment`.
    pub kind: Box<str>,
    /// The API group, such as `apps`.
    pub group: Box<str>,
}

impl Deref for GroupKind {
    type Target = GroupKindNames;

    fn deref(&self) -> &GroupKindNames {
        &self.0
    }
}

impl GroupKind {
    /// Takes the names unchecked.
    pub(crate) fn new(kind: &str, group: &str) -> Self {
        Self(Arc::new(GroupKindNames { kind: kind.into(), group: group.into() }))
    }

    pub(crate) fn is_deployment(&self) -> bool {
        &*self.kind == "Deployment" && &*self.group == "apps"
    }

    pub(crate) fn is_replica_set(&self) -> bool {
        &*self.kind == "ReplicaSet" && &*self.group == "apps"
    }
}

/// Writes the kind as in `Deployment.apps`.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.group)
    }
}
