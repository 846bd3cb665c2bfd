//! An action of a caller, as RBAC describes it.

use contract::names::GROUP;

use crate::resources::TargetKind;

/// An action that RBAC allows to a caller or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Action {
    pub(super) verb: &'static str,
    /// The API group; empty for the core group.
    pub(super) group: String,
    pub(super) resource: String,
    /// The namespace; empty means all.
    pub(super) namespace: String,
    /// The name; empty means any.
    pub(super) name: String,
}

impl Action {
    /// The resource as kubectl names it: `deployments.apps`, or `replicationcontrollers` in the core group.
    pub(super) fn resource_and_group(&self) -> String {
        match &*self.group {
            "" => self.resource.clone(),
            group => format!("{}.{group}", self.resource),
        }
    }

    /// An action on ReplicaCounts.
    pub(super) fn on_replica_counts(verb: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            verb,
            group: GROUP.to_owned(),
            resource: "replicacounts".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// To list the targets of a kind.
    pub(super) fn list_targets(kind: &TargetKind, namespace: &str) -> Self {
        Self {
            verb: "list",
            group: kind.group_kind.api_group().to_owned(),
            resource: kind.plural.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
        }
    }
}
