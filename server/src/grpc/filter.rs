//! The targets that a List or Watch is about.

use std::collections::BTreeSet;

use super::selector::Selector;
use crate::{
    index::{Scope, TargetSnapshot},
    resources::GroupKind,
};

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

    /// The targets of the index among which the filter selects.
    pub(super) fn scope(&self) -> Scope<'_> {
        Scope { all_targets: self.all_targets, namespace: self.namespace.as_deref() }
    }

    /// Whether a target is selected. One that neither exists nor has a `ReplicaCount` is not.
    pub(super) fn selects(&self, snapshot: &TargetSnapshot) -> bool {
        let TargetSnapshot { key, count, target, .. } = snapshot;
        let is_controlled =
            key.kind.is_left_to_controllers() && target.as_ref().is_some_and(|it| it.controller.is_some());
        let is_listed = self.all_targets && target.is_some() && !is_controlled && self.kinds.contains(&key.kind);
        (count.is_some() || is_listed)
            && self.namespace.as_deref().is_none_or(|namespace| *key.namespace == *namespace)
            && self.selector.matches(target.as_ref().map(|target| &target.labels))
    }
}
