//! The targets that a List or Watch is about.

use std::collections::BTreeSet;

use super::selector::Selector;
use crate::{index::TargetSnapshot, resources::GroupKind};

/// Selects the targets of a List or Watch.
#[derive(Debug)]
pub(super) struct Filter {
    /// `None` means all.
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    /// Whether targets without a `ReplicaCount` are selected too.
    pub(super) all_targets: bool,
    /// The kinds whose unmanaged targets the caller may list.
    pub(super) kinds: BTreeSet<GroupKind>,
}

impl Filter {
    /// The namespace, as RBAC names it: empty means all.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn selects(&self, snapshot: &TargetSnapshot) -> bool {
        let TargetSnapshot { key, count, target, .. } = snapshot;
        let is_controlled = key.kind.is_replica_set() && target.as_ref().is_some_and(|it| it.controller.is_some());
        (count.is_some() || self.all_targets && !is_controlled && self.kinds.contains(&key.kind))
            && self.namespace.as_deref().is_none_or(|namespace| *key.namespace == *namespace)
            && self.selector.matches(target.as_ref().map(|target| &target.labels))
    }
}
