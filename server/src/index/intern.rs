//! Interning: equal namespaces, kinds, label keys, field managers and texts of statuses are stored once for all targets.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use crate::resources::{GroupKind, ReplicaCountState, TargetKey, TargetState};

/// The number of texts up to which unused ones are not removed, because a search would cost more than it frees.
const FEW: usize = 1024;

/// Stores equal texts and kinds once.
#[derive(Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    kinds: HashSet<GroupKind>,
    /// The number of texts at which unused ones are removed. It is twice the number after the last removal, so that
    /// removals stay rare.
    limit: usize,
}

impl Interner {
    /// Replaces the namespace and the kind of a key by the stored ones.
    pub(super) fn intern_key(&mut self, key: &mut TargetKey) {
        intern(&mut self.texts, &mut key.namespace);
        intern(&mut self.kinds, &mut key.kind);
    }

    /// Replaces the label keys and the field managers of a target by the stored ones.
    pub(super) fn intern_target(&mut self, target: &mut TargetState) {
        intern(&mut self.texts, target.labels.keys_mut());
        target.owners.managers_mut().for_each(|manager| intern(&mut self.texts, manager));
        self.remove_unused();
    }

    /// Replaces the texts in the status of a `ReplicaCount` by the stored ones: most targets have the same conditions, and
    /// all of one tool the same history.
    pub(super) fn intern_replica_count(&mut self, count: &mut ReplicaCountState) {
        count.writers.texts_mut().for_each(|writer| intern(&mut self.texts, writer));
        // A status that somebody else holds is one that the index has interned before.
        let Some(status) = Arc::get_mut(&mut count.status) else { return };
        status.recent_drifts.shrink_to_fit();
        status.changes.shrink_to_fit();
        status.drifters.shrink_to_fit();
        status.conditions.shrink_to_fit();
        for drift in status.recent_drifts.iter_mut().chain(status.last_drift.as_deref_mut()) {
            for text in [&mut drift.manager, &mut drift.operation, &mut drift.subresource, &mut drift.user] {
                intern(&mut self.texts, text);
            }
        }
        for drifter in &mut status.drifters {
            intern(&mut self.texts, &mut drifter.user);
        }
        for condition in &mut status.conditions {
            condition.texts_mut().into_iter().for_each(|text| intern(&mut self.texts, text));
        }
        for change in &mut status.changes {
            for text in [&mut change.field, &mut change.by, &mut change.reason] {
                intern(&mut self.texts, text);
            }
        }
        self.remove_unused();
    }

    fn remove_unused(&mut self) {
        // A kind has no count of its users. Those that are in use are stored again with their next targets.
        if self.kinds.len() > FEW {
            self.kinds.clear();
        }
        if self.texts.len() > self.limit.max(FEW) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.limit = 2 * self.texts.len();
        }
    }
}

fn intern<T: Clone + Eq + Hash>(stored: &mut HashSet<T>, value: &mut T) {
    match stored.get(value) {
        Some(equal) => *value = equal.clone(),
        None => drop(stored.insert(value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::resources::Labels;

    fn target(key: &str) -> TargetState {
        let labels = BTreeMap::from([(key.to_owned(), "web".to_owned())]);
        TargetState { labels: Labels::from(&labels), ..TargetState::default() }
    }

    #[test]
    fn equal_texts_are_stored_once() {
        let mut interner = Interner::default();
        let (mut first, mut second) = (target("app"), target("app"));
        interner.intern_target(&mut first);
        interner.intern_target(&mut second);
        assert!(Arc::ptr_eq(first.labels.keys_mut(), second.labels.keys_mut()));
        assert_eq!(second, target("app"));
    }

    #[test]
    fn kinds_that_no_target_names_any_more_are_removed() {
        let mut interner = Interner::default();
        for index in 0..10 * FEW {
            interner.intern_key(&mut TargetKey::new("prod", "example.com", &format!("Kind{index}"), "web").unwrap());
            interner.intern_target(&mut target("app"));
        }
        assert!(interner.kinds.len() <= FEW + 1, "{}", interner.kinds.len());
    }

    #[test]
    fn unused_texts_are_removed() {
        let mut interner = Interner::default();
        let mut held = target("held");
        interner.intern_target(&mut held);
        for index in 0..10 * FEW {
            interner.intern_target(&mut target(&index.to_string()));
        }
        assert!(interner.texts.len() <= 2 * FEW, "{}", interner.texts.len());
        assert!(interner.texts.contains(held.labels.keys_mut()));
    }
}
