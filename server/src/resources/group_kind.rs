//! A kind of targets, without its version.

use std::{fmt, ops::Deref, sync::Arc};

use contract::names::CORE_GROUP;

/// A kind of targets in any version. It is cheap to clone, because the key of every target holds one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind(Arc<GroupKindNames>);

/// The names of a [`GroupKind`]. Kinds are ordered by kind, then by group.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKindNames {
    /// The kind, such as `Deployment`.
    pub kind: Box<str>,
    /// The API group, such as `apps`; `core` for the core group.
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

    /// The name of the group in Kubernetes: empty for the core group.
    pub(crate) fn api_group(&self) -> &str {
        match &*self.group {
            CORE_GROUP => "",
            group => group,
        }
    }

    pub(crate) fn is_deployment(&self) -> bool {
        &*self.kind == "Deployment" && &*self.group == "apps"
    }

    pub(crate) fn is_replica_set(&self) -> bool {
        &*self.kind == "ReplicaSet" && &*self.group == "apps"
    }

    /// Whether the controller of an object of this kind, if it has one, decides its count: a Deployment that of its
    /// ReplicaSets, and a DeploymentConfig that of its ReplicationControllers.
    pub(crate) fn is_left_to_controllers(&self) -> bool {
        self.is_replica_set() || (&*self.kind == "ReplicationController" && &*self.group == CORE_GROUP)
    }
}

/// Writes the kind as in `Deployment.apps`.
impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.group)
    }
}
