//! The states of targets that a watch has shown. It decides which states are new.
//!
//! When the connection is lost, the next watch may be that of another server, which knows some changes later than the
//! one before. An older state after a newer one, and the same state twice, are left out.

use std::collections::{BTreeMap, BTreeSet};

use contract::replicas::v1::{ReplicaCount, Target};

use crate::commands::follow::{parse_version, version};

/// The name of a target, in the order of a list: namespace, kind, group and name.
type Key = [String; 4];

fn key(target: &Target) -> Key {
    let Target { namespace, group, kind, name } = target.clone();
    [namespace, kind, group, name]
}

/// A target that has a new state.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    /// The state before. Absent if the target was not there.
    pub(super) before: Option<ReplicaCount>,
    pub(super) after: ReplicaCount,
}

/// The state of a target.
#[derive(Default)]
struct State {
    /// Absent if the target is gone.
    count: Option<ReplicaCount>,
    /// The newest resource version that its ReplicaCount has had.
    version: u64,
}

/// The states that are known.
pub(super) struct Known {
    /// Whether labels select the targets.
    has_selector: bool,
    states: BTreeMap<Key, State>,
    /// The targets that an earlier watch has shown, and the running snapshot has not.
    unconfirmed: BTreeSet<Key>,
}

impl Known {
    pub(super) const fn new(has_selector: bool) -> Self {
        Self { has_selector, states: BTreeMap::new(), unconfirmed: BTreeSet::new() }
    }

    /// The current states, in the order of a list.
    pub(super) fn counts(&self) -> impl Iterator<Item = &ReplicaCount> {
        self.states.values().filter_map(|state| state.count.as_ref())
    }

    /// Begins with the snapshot of another watch.
    pub(super) fn start_over(&mut self) {
        let there = self.states.iter().filter(|(_, state)| state.count.is_some());
        self.unconfirmed = there.map(|(key, _)| key.clone()).collect();
    }

    /// Records a state. Returns it if it is new.
    pub(super) fn change(&mut self, seen: ReplicaCount) -> Option<Change> {
        let key = key(seen.target.as_ref()?);
        self.unconfirmed.remove(&key);
        let state = self.states.entry(key).or_default();
        if !self.has_selector && state.is_ended(&seen) {
            return None;
        }
        state.version = state.version.max(version(&seen));
        let after = match &state.count {
            Some(before) => with_newer_target(seen, before),
            None => seen,
        };
        let before = state.count.replace(after.clone());
        let is_new = before.as_ref().is_none_or(|before| !is_equal(before, &after));
        is_new.then_some(Change { before, after })
    }

    /// Records the end of a target. Returns whether it was there.
    pub(super) fn remove(&mut self, target: &Target) -> bool {
        let key = key(target);
        self.unconfirmed.remove(&key);
        self.states.get_mut(&key).and_then(|state| state.count.take()).is_some()
    }

    /// Ends a snapshot. Returns the targets that ended before it.
    pub(super) fn complete(&mut self) -> Vec<Target> {
        let ended = std::mem::take(&mut self.unconfirmed);
        let gone = ended.into_iter().filter_map(|key| self.states.get_mut(&key)?.count.take()?.target);
        gone.collect()
    }
}

impl State {
    /// Whether a state is from before the end of the target's ReplicaCount, which is known. Its server will send that end.
    ///
    /// With a selector, a target can come back with the same ReplicaCount.
    fn is_ended(&self, seen: &ReplicaCount) -> bool {
        let is_managed = self.count.as_ref().is_some_and(|count| version(count) > 0);
        !is_managed && version(seen) > 0 && version(seen) <= self.version
    }
}

/// Takes the counts of the target itself from the state before, if they are newer there. A watch begins only when its
/// server has the ReplicaCounts that were seen, but the server may still learn of the targets.
fn with_newer_target(seen: ReplicaCount, before: &ReplicaCount) -> ReplicaCount {
    let of_target = |count: &ReplicaCount| parse_version(&count.target_resource_version);
    if of_target(&seen) == 0 || of_target(&seen) >= of_target(before) {
        return seen;
    }
    let target_resource_version = before.target_resource_version.clone();
    ReplicaCount { observed: before.observed, ready: before.ready, target_resource_version, ..seen }
}

/// Whether two states differ in nothing that a user can see.
fn is_equal(before: &ReplicaCount, after: &ReplicaCount) -> bool {
    let target_resource_version = before.target_resource_version.clone();
    *before == ReplicaCount { target_resource_version, ..after.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target { namespace: "shop".to_owned(), name: name.to_owned(), ..Target::default() }
    }

    /// A managed target: its desired count with the version, and its own count with the version.
    fn count(name: &str, (desired, version): (i32, u64), (observed, target_version): (i32, u64)) -> ReplicaCount {
        ReplicaCount {
            target: Some(target(name)),
            desired: Some(desired),
            resource_version: version.to_string(),
            ..unmanaged(name, (observed, target_version))
        }
    }

    fn unmanaged(name: &str, (observed, version): (i32, u64)) -> ReplicaCount {
        ReplicaCount {
            target: Some(target(name)),
            observed: Some(observed),
            target_resource_version: version.to_string(),
            ..ReplicaCount::default()
        }
    }

    /// The desired and the observed count of a change.
    fn shown(change: Option<Change>) -> Option<(Option<i32>, Option<i32>)> {
        change.map(|change| (change.after.desired, change.after.observed))
    }

    #[test]
    fn after_a_lost_connection_only_what_is_new_is_shown() {
        let first = || count("web", (5, 50), (5, 60));
        for (name, seen, expected) in [
            ("the same", first(), None),
            ("only another version of the target", count("web", (5, 50), (5, 70)), None),
            ("a new count", count("web", (6, 51), (5, 60)), Some((Some(6), Some(5)))),
            ("a new count of the target", count("web", (5, 50), (7, 61)), Some((Some(5), Some(7)))),
            ("an older count of the target", count("web", (5, 50), (4, 59)), None),
            ("an older count of the target beside a new one", count("web", (6, 51), (4, 59)), Some((Some(6), Some(5)))),
            ("versions are compared as numbers", count("web", (5, 50), (4, 9)), None),
            ("a newer version with more digits", count("web", (5, 50), (4, 100)), Some((Some(5), Some(4)))),
            ("no longer managed", unmanaged("web", (5, 60)), Some((None, Some(5)))),
            (
                "of an older server",
                ReplicaCount { target_resource_version: String::new(), ..count("web", (5, 50), (4, 0)) },
                Some((Some(5), Some(4))),
            ),
        ] {
            let mut known = Known::new(false);
            assert!(known.change(first()).is_some());
            known.start_over();
            assert_eq!(shown(known.change(seen)), expected, "{name}");
            assert_eq!(known.complete(), [], "{name}");
        }
    }

    #[test]
    fn a_server_that_is_behind_catches_up_unseen() {
        let mut known = Known::new(false);
        for observed in 1..=5 {
            known.change(count("web", (5, 50), (observed, 60 + observed as u64)));
        }
        known.start_over();
        let seen = (2..=6).map(|observed| shown(known.change(count("web", (5, 50), (observed, 60 + observed as u64)))));
        assert_eq!(seen.flatten().collect::<Vec<_>>(), [(Some(5), Some(6))]);
    }

    #[test]
    fn what_has_ended_meanwhile_is_removed_once() {
        let mut known = Known::new(false);
        for name in ["a", "b", "c"] {
            known.change(count(name, (1, 10), (1, 20)));
        }
        assert!(known.remove(&target("a")) && !known.remove(&target("a")));
        known.start_over();
        known.change(count("c", (1, 10), (1, 20)));
        assert_eq!(known.complete(), [target("b")]);
        assert_eq!(known.complete(), []);
        let names: Vec<_> = known.counts().map(|count| count.target.clone().unwrap().name).collect();
        assert_eq!(names, ["c"]);
    }

    #[test]
    fn a_replica_count_that_has_ended_does_not_come_back() {
        for (name, has_selector, version, expected) in [
            ("the server does not know the end yet", false, 10, None),
            ("set again", false, 11, Some((Some(1), Some(1)))),
            ("selected again", true, 10, Some((Some(1), Some(1)))),
        ] {
            let mut known = Known::new(has_selector);
            known.change(count("web", (1, 10), (1, 20)));
            known.remove(&target("web"));
            known.start_over();
            assert_eq!(shown(known.change(count("web", (1, version), (1, 20)))), expected, "{name}");
        }
        let mut known = Known::new(false);
        known.change(count("web", (1, 10), (1, 20)));
        assert_eq!(shown(known.change(unmanaged("web", (1, 20)))), Some((None, Some(1))));
        known.start_over();
        assert_eq!(shown(known.change(count("web", (1, 10), (1, 20)))), None);
        assert_eq!(known.complete(), [], "it is still there, unmanaged");
        assert_eq!(shown(known.change(count("web", (2, 30), (1, 20)))), Some((Some(2), Some(1))));
    }

    #[test]
    fn the_states_are_in_the_order_of_a_list() {
        let mut known = Known::new(false);
        for (namespace, kind, name) in [("b", "Deployment", "a"), ("a", "StatefulSet", "a"), ("a", "Deployment", "b")] {
            let target =
                Target { namespace: namespace.into(), kind: kind.into(), name: name.into(), ..Target::default() };
            known.change(ReplicaCount { target: Some(target), ..ReplicaCount::default() });
        }
        let order: Vec<_> = known.counts().map(|count| count.target.clone().unwrap()).collect();
        let order: Vec<_> = order.iter().map(|it| [&*it.namespace, &it.kind, &it.name].join(" ")).collect();
        assert_eq!(order, ["a Deployment b", "a StatefulSet a", "b Deployment a"]);
    }
}
