//! Texts that many objects have in common, such as namespaces and the keys of labels: kept once for all of them.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use crate::resources::{GroupKind, TargetKey, TargetState};

/// Below so many texts it is not worth looking for those that nothing holds any more.
const FEW: usize = 1024;

/// The texts.
#[derive(Default)]
pub(super) struct Shared {
    texts: HashSet<Arc<str>>,
    kinds: HashSet<GroupKind>,
    /// With so many texts, those that nothing holds any more are forgotten.
    limit: usize,
}

impl Shared {
    /// Makes a key hold the same texts as other keys.
    pub(super) fn share_key(&mut self, key: &mut TargetKey) {
        share(&mut self.texts, &mut key.namespace);
        share(&mut self.kinds, &mut key.kind);
    }

    /// Makes a target hold the same texts as other targets.
    pub(super) fn share_target(&mut self, target: &mut TargetState) {
        share(&mut self.texts, target.labels.keys_mut());
        target.owners.managers_mut().for_each(|manager| share(&mut self.texts, manager));
        if self.texts.len() > self.limit.max(FEW) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.limit = 2 * self.texts.len();
        }
    }
}

fn share<T: Clone + Eq + Hash>(all: &mut HashSet<T>, one: &mut T) {
    match all.get(one) {
        Some(same) => *one = same.clone(),
        None => drop(all.insert(one.clone())),
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
    fn equal_texts_are_one() {
        let mut shared = Shared::default();
        let (mut first, mut second) = (target("app"), target("app"));
        shared.share_target(&mut first);
        shared.share_target(&mut second);
        assert!(Arc::ptr_eq(first.labels.keys_mut(), second.labels.keys_mut()));
        assert_eq!(second, target("app"));
    }

    #[test]
    fn texts_that_nothing_holds_are_forgotten() {
        let mut shared = Shared::default();
        let mut held = target("held");
        shared.share_target(&mut held);
        for index in 0..10 * FEW {
            shared.share_target(&mut target(&index.to_string()));
        }
        assert!(shared.texts.len() <= 2 * FEW, "{}", shared.texts.len());
        assert!(shared.texts.contains(held.labels.keys_mut()));
    }
}
