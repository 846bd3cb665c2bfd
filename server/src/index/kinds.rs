//! The states of kinds: whether the index knows their targets.

use std::{collections::BTreeMap, sync::Arc};

use super::snapshot::KindState;
use crate::resources::{GroupKind, TargetKind};

/// The states of kinds.
#[derive(Default)]
pub(super) struct Kinds {
    /// The kinds whose targets are known. `kind_watches` bounds their number.
    known: BTreeMap<GroupKind, KindState>,
    /// The others. They are apart, because a `ReplicaCount` can name any kind, so that they may be very many.
    unavailable: BTreeMap<GroupKind, KindState>,
}

impl Kinds {
    /// The state of a kind, if it has one.
    pub(super) fn get(&self, kind: &GroupKind) -> Option<&KindState> {
        self.known.get(kind).or_else(|| self.unavailable.get(kind))
    }

    /// Stores the state of a kind, and forgets a kind that is not listed.
    pub(super) fn set(&mut self, kind: GroupKind, state: KindState) {
        self.known.remove(&kind);
        self.unavailable.remove(&kind);
        if state.known().is_some() {
            self.known.insert(kind, state);
        } else if state != KindState::Unlisted {
            self.unavailable.insert(kind, state);
        }
    }

    /// The kinds whose targets are known, with their states.
    pub(super) fn known(&self) -> impl Iterator<Item = (&KindState, &Arc<TargetKind>)> {
        self.known.values().filter_map(|state| Some((state, state.known()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Unavailable;

    #[test]
    fn kinds_whose_targets_are_known_are_kept_apart() {
        let kind = Arc::new(TargetKind::apps()[0].clone());
        let problem = Arc::new(Unavailable { reason: "KindNotServed", message: String::new() });
        let mut kinds = Kinds::default();
        for (name, state, known, all) in [
            ("watched", KindState::Watched(kind.clone()), 1, 1),
            ("failing", KindState::Failing(kind.clone(), problem.clone()), 1, 1),
            ("unavailable", KindState::Unavailable(problem.clone()), 0, 1),
            ("watched again", KindState::Watched(kind.clone()), 1, 1),
            ("forgotten", KindState::Unlisted, 0, 0),
            ("unavailable at first", KindState::Unavailable(problem), 0, 1),
            ("forgotten again", KindState::Unlisted, 0, 0),
        ] {
            kinds.set(kind.group_kind.clone(), state.clone());
            assert_eq!(kinds.get(&kind.group_kind).cloned().unwrap_or_default(), state, "{name}");
            assert_eq!((kinds.known().count(), kinds.known.len() + kinds.unavailable.len()), (known, all), "{name}");
        }
    }
}
