//! Creations of targets whose counts were kept. If a count cannot be stored, each creation that is kept at it fails. Before
//! there is a target, no correction fails, and so no status shows that.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::resources::{TargetKey, Uid};

/// How many creations are remembered, at 800 bytes each at most.
const MAX: usize = 256;

/// How many creations of one namespace are remembered. Its users can push out those of their own namespace alone.
const MAX_OF_NAMESPACE: usize = 64;

/// How long a target may take to show up after its creation was kept. Usually the watch shows it within milliseconds.
const SHOW_TIME: Duration = Duration::from_secs(1);

/// How long a creation is remembered. GitOps tools try again after minutes.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// The creation of a target whose count was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCreation {
    /// The target.
    pub key: TargetKey,
    /// The UID of its `ReplicaCount`.
    pub uid: Uid,
    /// The generation of its `ReplicaCount`.
    pub generation: Option<i64>,
    /// The count that is held, in replicas.
    pub desired: i32,
    /// Whether nothing was to be stored.
    pub is_dry_run: bool,
}

impl KeptCreation {
    /// Whether another one was kept at the same count of the same `ReplicaCount`.
    fn is_like(&self, other: &Self) -> bool {
        let is_same_count = self.desired == other.desired && self.generation == other.generation;
        is_same_count && self.uid == other.uid && self.key == other.key
    }
}

/// A creation that is remembered.
#[derive(Debug)]
struct Entry {
    creation: KeptCreation,
    /// When its count was kept for the first time.
    at: Instant,
}

/// The creations whose targets have not shown up, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Creations(VecDeque<Entry>);

impl Creations {
    /// Adds a creation, unless it is known.
    pub(super) fn add(&mut self, creation: KeptCreation, now: Instant) {
        self.forget(now);
        if self.0.iter().any(|entry| entry.creation == creation) {
            return;
        }
        let (key, is_dry_run) = (creation.key.clone(), creation.is_dry_run);
        self.0.retain(|Entry { creation, .. }| creation.key != key || creation.is_dry_run != is_dry_run);
        self.make_room(MAX_OF_NAMESPACE, |known| known.key.namespace == key.namespace);
        self.make_room(MAX, |_| true);
        self.0.push_back(Entry { creation, at: now });
    }

    /// Pushes out the oldest of some creations if there are as many as may be remembered.
    fn make_room(&mut self, most: usize, is_one: impl Fn(&KeptCreation) -> bool) {
        let mut ones = (0..self.0.len()).filter(|index| is_one(&self.0[*index].creation));
        let (oldest, count) = (ones.next(), ones.count());
        // The oldest is not among those that are counted.
        if let Some(oldest) = oldest.filter(|_| count + 1 >= most) {
            self.0.remove(oldest);
        }
    }

    /// Forgets the creations of a target that has shown up.
    pub(super) fn remove(&mut self, key: &TargetKey) {
        self.0.retain(|entry| entry.creation.key != *key);
    }

    /// Drops the creations that are too old.
    pub(super) fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|entry| now.saturating_duration_since(entry.at) > MAX_AGE) {
            self.0.pop_front();
        }
    }

    /// Whether such a creation was kept before, and its target has not shown up in time. A dry run never shows a target. So
    /// it counts for other dry runs alone, and not for writes that are stored.
    pub(super) fn is_refused(&self, creation: &KeptCreation, now: Instant) -> bool {
        self.0.iter().any(|entry| {
            let age = now.saturating_duration_since(entry.at);
            let counts = creation.is_dry_run || !entry.creation.is_dry_run;
            counts && (SHOW_TIME..=MAX_AGE).contains(&age) && entry.creation.is_like(creation)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::fixtures::deployment_key;

    fn creation() -> KeptCreation {
        KeptCreation { key: deployment_key("web"), uid: "u".into(), generation: Some(1), desired: 9, is_dry_run: false }
    }

    fn other(change: fn(&mut KeptCreation)) -> KeptCreation {
        let mut other = creation();
        change(&mut other);
        other
    }

    #[test]
    fn a_creation_whose_target_does_not_show_up_was_refused() {
        struct Row {
            name: &'static str,
            /// The creation that was kept, and how many milliseconds before.
            kept: KeptCreation,
            age: u64,
            /// The next creation.
            next: KeptCreation,
            expected: bool,
        }
        let dry_run = || other(|other| other.is_dry_run = true);
        let row = |name, kept, age, next, expected| Row { name, kept, age, next, expected };
        let hour = 60 * 60 * 1000;
        for row in [
            row("within a second", creation(), 999, creation(), false),
            row("after a second", creation(), 1000, creation(), true),
            row("after an hour", creation(), hour, creation(), true),
            row("later", creation(), hour + 1, creation(), false),
            row("another target", creation(), 1000, other(|other| other.key = deployment_key("db")), false),
            row("another ReplicaCount", creation(), 1000, other(|other| other.uid = "v".into()), false),
            row("set again", creation(), 1000, other(|other| other.generation = Some(2)), false),
            row("the end of an override", creation(), 1000, other(|other| other.desired = 3), false),
            row("a dry run after a dry run", dry_run(), 1000, dry_run(), true),
            row("a dry run after a write", creation(), 1000, dry_run(), true),
            row("a write after a dry run", dry_run(), 1000, creation(), false),
        ] {
            let (mut creations, start) = (Creations::default(), Instant::now());
            creations.add(row.kept, start);
            let now = start + Duration::from_millis(row.age);
            assert_eq!(creations.is_refused(&row.next, now), row.expected, "{}", row.name);
            creations.remove(&deployment_key("web"));
            assert!(!creations.is_refused(&row.next, now), "{}: the target has shown up", row.name);
        }
    }

    #[test]
    fn a_creation_counts_from_its_first_time_on_until_the_next_count() {
        let (mut creations, start) = (Creations::default(), Instant::now());
        let later = start + SHOW_TIME;
        creations.add(creation(), start);
        creations.add(creation(), later);
        assert!(creations.is_refused(&creation(), later), "a tool that tries again at once never waits for long");
        let next = other(|other| other.generation = Some(2));
        creations.add(next.clone(), later);
        assert_eq!((creations.0.len(), creations.is_refused(&next, later)), (1, false), "the next count replaces it");
        creations.forget(later + MAX_AGE + Duration::from_millis(1));
        assert!(creations.0.is_empty());
    }

    #[test]
    fn a_flood_pushes_out_the_creations_of_its_own_namespace_alone() {
        let (mut creations, now) = (Creations::default(), Instant::now());
        let of = |namespace: &str, number: usize| {
            let key = TargetKey::new(namespace, "", "", &format!("web-{number}")).unwrap();
            KeptCreation { key, ..creation() }
        };
        creations.add(creation(), now);
        (0..2 * MAX_OF_NAMESPACE).for_each(|number| creations.add(of("hostile", number), now));
        assert_eq!(creations.0.len(), MAX_OF_NAMESPACE + 1);
        let later = now + SHOW_TIME;
        assert!(creations.is_refused(&creation(), later));
        assert!(!creations.is_refused(&of("hostile", 0), later), "the oldest");
        (0..2 * MAX).for_each(|number| creations.add(of(&format!("n-{}", number % 16), number), now));
        assert_eq!(creations.0.len(), MAX, "all of them together");
    }
}
