//! Targets that wait, for a decision or a write, each once. Those that come up again and again must not keep the others
//! waiting, so they take turns.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

use crate::resources::TargetKey;

/// Targets that wait, the one that has waited longest first.
#[derive(Default)]
pub struct Turns {
    /// With the time since when each waits.
    order: VecDeque<(TargetKey, Instant)>,
    waiting: BTreeSet<TargetKey>,
}

impl Turns {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Since when the first waits, if one does.
    pub fn since(&self) -> Option<Instant> {
        self.order.front().map(|(_, since)| *since)
    }

    /// Adds a target, unless it waits already.
    pub fn add(&mut self, key: TargetKey) {
        if self.waiting.insert(key.clone()) {
            self.order.push_back((key, Instant::now()));
        }
    }

    /// Takes the next target that is not busy; one that is keeps its place.
    pub fn take(&mut self, is_busy: impl Fn(&TargetKey) -> bool) -> Option<TargetKey> {
        let index = self.order.iter().position(|(key, _)| !is_busy(key))?;
        let (key, _) = self.order.remove(index)?;
        self.waiting.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> TargetKey {
        TargetKey::new("shop", "", "", name).unwrap()
    }

    #[test]
    fn one_that_comes_up_again_waits_for_the_others() {
        let (mut turns, nobody) = (Turns::default(), |_: &TargetKey| false);
        for name in ["b", "a", "b", "c"] {
            turns.add(key(name));
        }
        assert_eq!(turns.take(nobody), Some(key("b")));
        turns.add(key("b"));
        assert_eq!([(); 4].map(|()| turns.take(nobody)), [Some(key("a")), Some(key("c")), Some(key("b")), None]);
    }

    #[test]
    fn one_that_is_busy_keeps_its_place_and_no_other_from_its_turn() {
        let (mut turns, busy) = (Turns::default(), |one: &TargetKey| *one == key("a"));
        turns.add(key("a"));
        turns.add(key("b"));
        assert_eq!([turns.take(busy), turns.take(busy)], [Some(key("b")), None]);
        assert_eq!(turns.take(|_| false), Some(key("a")));
    }
}
