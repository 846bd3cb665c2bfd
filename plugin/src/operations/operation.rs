//! What an operation has changed.

use contract::replicas::v1::{ReplicaCount, Target};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// A command that has changed something.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Operation {
    /// Rises from operation to operation.
    pub(crate) number: u64,
    /// When the command began.
    pub(crate) at: Timestamp,
    /// The words of the command, without the program.
    pub(crate) command: String,
    /// The context of the kubeconfig; empty if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) context: String,
    pub(crate) cluster: Cluster,
    /// The user whom the client certificate names. It is empty if that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    /// The number of the operation that this one has undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undoes: Option<u64>,
    pub(crate) targets: Vec<TargetChange>,
}

impl Operation {
    /// Whether it is of this user, in this cluster. One without a user may be anybody's who has the log.
    pub(crate) fn is_of(&self, cluster: &Cluster, user: &str) -> bool {
        self.cluster.is_same(cluster) && (self.user.is_empty() || self.user == user)
    }
}

/// Which cluster it is, whatever its context is named.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Cluster {
    /// The UID of the namespace kube-system, if the user may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
    /// The address of the API server, or else of the server.
    pub(crate) address: String,
}

impl Cluster {
    /// Whether both are the same cluster. The address counts only where a UID is unknown: it may lead to another cluster
    /// by now, and a cluster may have several.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.uid, &other.uid) {
            (Some(uid), Some(other)) => uid == other,
            _ => self.address == other.address,
        }
    }
}

/// A target before and after an operation.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TargetChange {
    pub(crate) namespace: String,
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) before: State,
    pub(crate) after: State,
    /// Whether an undo has tried to take it back, and its result is not known. Only the log as a whole says so.
    #[serde(skip)]
    pub(crate) is_tried: bool,
}

impl TargetChange {
    /// A change that has begun. What it leads to is not known yet.
    pub(crate) fn begin(target: Target, before: State) -> Self {
        let Target { namespace, group, kind, name } = target;
        Self { namespace, group, kind, name, before, after: State::Unknown, is_tried: false }
    }

    pub(crate) fn target(&self) -> Target {
        let Self { namespace, group, kind, name, .. } = self.clone();
        Target { namespace, group, kind, name }
    }
}

/// The state of a target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// It could not be read, or an answer is missing.
    Unknown,
    /// It is not managed, and has one of these counts, as far as they are known.
    Unmanaged(Vec<i32>),
    Managed(Held),
}

/// A managed target.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Held {
    pub(crate) spec: Spec,
    /// Who set the lasting count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) set_by: String,
    /// The resource version of the ReplicaCount.
    pub(crate) resource_version: String,
}

impl State {
    /// The state that was read.
    pub(crate) fn of(count: &ReplicaCount) -> Self {
        match Spec::of(count) {
            Some(spec) => Self::Managed(Held {
                spec,
                set_by: count.set_by.clone(),
                resource_version: count.resource_version.clone(),
            }),
            None => Self::Unmanaged(count.observed.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_known_by_its_uid_or_else_by_its_address() {
        let cluster = |uid: &str, address: &str| Cluster {
            uid: Some(uid.to_owned()).filter(|uid| !uid.is_empty()),
            address: address.to_owned(),
        };
        for (name, one, other, is_same) in [
            ("equal", ("a", "x"), ("a", "x"), true),
            ("another address", ("a", "x"), ("a", "y"), true),
            ("another cluster at the address", ("a", "x"), ("b", "x"), false),
            ("unread", ("", "x"), ("a", "x"), true),
            ("unread at another address", ("", "x"), ("a", "y"), false),
        ] {
            assert_eq!(cluster(one.0, one.1).is_same(&cluster(other.0, other.1)), is_same, "{name}");
        }
    }
}
