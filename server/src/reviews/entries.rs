//! The reviews of the last minute, and who made the write that led to a state.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::resources::{ReplicaCountSpec, Uid};

/// How many reviews are kept, at about 150 bytes each and the names of users. A state arrives milliseconds after its
/// review, so this is enough for thousands of writes in a second.
const MAX: usize = 4096;

/// How many reviews of one namespace are kept. Its users can push out the reviews of their own namespace alone.
const MAX_OF_NAMESPACE: usize = 2048;

/// How many reviews of one user are kept. A user who floods the webhooks pushes out its own reviews alone.
const MAX_OF_USER: usize = 1024;

/// How long a review counts. The API server ends requests after 60 s, so no write is stored later than that.
const MAX_AGE: Duration = Duration::from_secs(60);

/// What a write stores, as far as it matters who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The count of a target, or the lasting count of a `ReplicaCount` of which the write changes nothing else, in replicas.
    Count(i32),
    /// A target without a count.
    NoCount,
    /// A hash of the spec of a `ReplicaCount`.
    Spec(u64),
}

impl Content {
    /// The content of a target with this count.
    pub fn of_count(count: Option<i32>) -> Self {
        count.map_or(Self::NoCount, Self::Count)
    }

    /// The content of the spec of a `ReplicaCount`, which replaces another one or is the first. If they differ in the
    /// lasting count alone, it is that count: a review of `/scale` shows no more.
    pub fn of_spec(before: Option<&ReplicaCountSpec>, spec: &ReplicaCountSpec) -> Self {
        let replicas = spec.replicas;
        if before.is_some_and(|before| *spec == ReplicaCountSpec { replicas, ..before.clone() }) {
            return Self::Count(replicas);
        }
        let mut hasher = DefaultHasher::new();
        // A spec can always be written as JSON.
        serde_json::to_vec(spec).unwrap_or_default().hash(&mut hasher);
        Self::Spec(hasher.finish())
    }
}

/// A write that was reviewed, and is not a dry run.
#[derive(Clone, Debug, PartialEq)]
pub struct Reviewed {
    /// The UID of the object.
    pub uid: Uid,
    /// The resource version of the state that the write replaces; 0 if it creates the object.
    pub before: u64,
    /// What it stores.
    pub content: Content,
    /// The namespace of the object.
    pub namespace: Arc<str>,
    /// Who makes it. Empty if this server does, for a user whom the object names.
    pub user: Arc<str>,
}

impl Reviewed {
    fn is_of(&self, uid: &Uid, before: u64, content: Content) -> bool {
        self.before == before && self.content == content && self.uid == *uid
    }
}

/// Who made a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewedUser {
    /// This user.
    Known(Arc<str>),
    /// One of several, of whom this server is one. Their writes fit alike, so no user is named for it.
    Several,
    /// One of several users, and not this server. If the object names somebody for this server, it is wrong.
    SeveralUsers,
    /// No review fits, or only that of a write of this server, for a user whom the object names.
    Unknown,
}

impl ReviewedUser {
    /// The user, if it is known.
    pub fn known(&self) -> Option<&Arc<str>> {
        match self {
            Self::Known(user) => Some(user),
            Self::Several | Self::SeveralUsers | Self::Unknown => None,
        }
    }
}

/// A review that is kept.
#[derive(Debug)]
struct Entry {
    reviewed: Reviewed,
    at: Instant,
    /// Whether a review that fits the same state was pushed out. Its user may have made the write, so none is named.
    is_doubtful: bool,
}

/// The reviews of the last minute, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Entries(VecDeque<Entry>);

impl Entries {
    /// Adds a review. The mutating, the repeated and the validating reviews of one write are equal, and are kept once.
    pub(super) fn add(&mut self, reviewed: Reviewed, now: Instant) {
        self.forget(now);
        let known = self.0.iter().position(|entry| entry.reviewed == reviewed);
        let is_doubtful = known.and_then(|known| self.0.remove(known)).is_some_and(|known| known.is_doubtful);
        let (user, namespace) = (reviewed.user.clone(), reviewed.namespace.clone());
        let mut entry = Entry { reviewed, at: now, is_doubtful };
        self.make_room(MAX_OF_USER, &mut entry, |known| known.user == user);
        self.make_room(MAX_OF_NAMESPACE, &mut entry, |known| known.namespace == namespace);
        self.make_room(MAX, &mut entry, |_| true);
        self.0.push_back(entry);
    }

    /// Drops the reviews that do not count any more.
    pub(super) fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|entry| is_over(entry.at, now)) {
            self.0.pop_front();
        }
    }

    /// Pushes out the oldest of some reviews if there are as many as may be kept, for another one. No user can put a
    /// write down to another by pushing out the review of it: the others that fit the same state name no user from then
    /// on.
    fn make_room(&mut self, most: usize, another: &mut Entry, is_one: impl Fn(&Reviewed) -> bool) {
        let is_one = |entry: &Entry| is_one(&entry.reviewed);
        // Usually there are few reviews, and none is counted.
        if self.0.len() >= most
            && self.0.iter().filter(|entry| is_one(entry)).count() >= most
            && let Some(oldest) = self.0.iter().position(is_one)
            && let Some(Entry { reviewed: Reviewed { uid, before, content, .. }, .. }) = self.0.remove(oldest)
        {
            let others = self.0.iter_mut().chain([another]);
            let fitting = others.filter(|entry| entry.reviewed.is_of(&uid, before, content));
            fitting.for_each(|entry| entry.is_doubtful = true);
        }
    }

    /// Who made the write that led from one version of an object to this content.
    pub(super) fn user_of(&self, uid: &Uid, before: u64, content: Content, now: Instant) -> ReviewedUser {
        let fits = |entry: &&Entry| entry.reviewed.is_of(uid, before, content) && !is_over(entry.at, now);
        let fitting: Vec<_> = self.0.iter().filter(fits).collect();
        let Some(first) = fitting.first().map(|entry| &entry.reviewed.user) else { return ReviewedUser::Unknown };
        let are_several = fitting.iter().any(|entry| entry.is_doubtful || entry.reviewed.user != *first);
        let is_server = fitting.iter().any(|entry| entry.reviewed.user.is_empty());
        match (are_several, is_server) {
            (true, true) => ReviewedUser::Several,
            (true, false) => ReviewedUser::SeveralUsers,
            (false, true) => ReviewedUser::Unknown,
            (false, false) => ReviewedUser::Known(first.clone()),
        }
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) > MAX_AGE
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::fixtures::ReplicaCountBuilder;

    fn reviewed(uid: &str, before: u64, count: i32, user: &str) -> Reviewed {
        let (content, namespace) = (Content::Count(count), "shop".into());
        Reviewed { uid: uid.into(), before, content, namespace, user: user.into() }
    }

    fn known(user: &str) -> ReviewedUser {
        ReviewedUser::Known(user.into())
    }

    /// A review of bob's, with a difference.
    fn other(change: fn(&mut Reviewed)) -> Reviewed {
        let mut other = reviewed("u", 7, 9, "bob");
        change(&mut other);
        other
    }

    fn of_server() -> Reviewed {
        reviewed("u", 7, 9, "")
    }

    struct Row {
        name: &'static str,
        reviews: Vec<Reviewed>,
        second: u64,
        expected: ReviewedUser,
    }

    #[test]
    fn a_state_belongs_to_the_review_of_its_object_its_version_before_and_its_count() {
        let start = Instant::now();
        let alice = reviewed("u", 7, 9, "alice");
        for row in [
            Row { name: "none", reviews: vec![], second: 0, expected: ReviewedUser::Unknown },
            Row { name: "one", reviews: vec![alice.clone()], second: 0, expected: known("alice") },
            Row { name: "within the minute", reviews: vec![alice.clone()], second: 60, expected: known("alice") },
            Row { name: "too old", reviews: vec![alice.clone()], second: 61, expected: ReviewedUser::Unknown },
            Row {
                name: "reviewed by two webhooks, and again",
                reviews: vec![alice.clone(), alice.clone(), alice.clone()],
                second: 0,
                expected: known("alice"),
            },
            Row {
                name: "two users with the same count from the same version",
                reviews: vec![alice.clone(), other(|_| ())],
                second: 0,
                expected: ReviewedUser::SeveralUsers,
            },
            Row { name: "this server", reviews: vec![of_server()], second: 0, expected: ReviewedUser::Unknown },
            Row {
                name: "this server, and a user whose write was refused",
                reviews: vec![alice.clone(), of_server()],
                second: 0,
                expected: ReviewedUser::Several,
            },
            Row {
                name: "this server, and two users whose writes were refused",
                reviews: vec![alice.clone(), other(|_| ()), of_server()],
                second: 0,
                expected: ReviewedUser::Several,
            },
            Row {
                name: "a conflict, and its retry with the newer version",
                reviews: vec![other(|other| other.before = 6), alice.clone()],
                second: 0,
                expected: known("alice"),
            },
            Row {
                name: "another count from the same version, which met a conflict",
                reviews: vec![alice.clone(), other(|other| other.content = Content::Count(8))],
                second: 0,
                expected: known("alice"),
            },
            Row {
                name: "another object",
                reviews: vec![alice.clone(), other(|other| other.uid = "v".into())],
                second: 0,
                expected: known("alice"),
            },
        ] {
            let mut entries = Entries::default();
            row.reviews.into_iter().for_each(|reviewed| entries.add(reviewed, start));
            let now = start + Duration::from_secs(row.second);
            assert_eq!(entries.user_of(&"u".into(), 7, Content::Count(9), now), row.expected, "{}", row.name);
        }
    }

    #[test]
    fn a_flood_pushes_out_the_reviews_of_its_own_user_and_namespace_alone() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        entries.add(reviewed("u", 7, 9, "alice"), now);
        for version in 0..3000 {
            entries.add(reviewed("v", version, 9, "mallory"), now);
        }
        assert_eq!(entries.0.len(), MAX_OF_USER + 1);
        assert_eq!(entries.user_of(&"u".into(), 7, Content::Count(9), now), known("alice"));
        for version in 0..3000 {
            let namespace = Arc::from("hostile");
            let user = format!("mallory-{}", version % 30);
            entries.add(Reviewed { namespace, ..reviewed("w", version, 9, &user) }, now);
        }
        assert_eq!(entries.user_of(&"u".into(), 7, Content::Count(9), now), known("alice"));
        let others = entries.0.iter().filter(|entry| &*entry.reviewed.namespace == "hostile").count();
        assert_eq!(others, MAX_OF_NAMESPACE);
        for version in 0..3000 {
            let namespace = format!("n-{}", version % 30).into();
            entries.add(Reviewed { namespace, ..reviewed("x", version, 9, &version.to_string()) }, now);
        }
        assert_eq!(entries.0.len(), MAX, "all of them together");
    }

    #[test]
    fn a_user_who_pushes_out_the_review_of_a_write_leaves_it_to_no_other_user() {
        struct Row {
            name: &'static str,
            /// The review of alice, who has tried something at the same version.
            tried: Reviewed,
            /// How many more reviews of mallory there are.
            flood: u64,
            is_repeated: bool,
            expected: ReviewedUser,
        }
        let alice = || reviewed("u", 7, 9, "alice");
        let most = MAX_OF_USER as u64;
        let several = ReviewedUser::SeveralUsers;
        for row in [
            Row { name: "not yet", tried: alice(), flood: most - 1, is_repeated: false, expected: several.clone() },
            Row { name: "pushed out", tried: alice(), flood: most, is_repeated: false, expected: several.clone() },
            Row { name: "and tried again", tried: alice(), flood: most, is_repeated: true, expected: several },
            Row {
                name: "beside a write of this server",
                tried: of_server(),
                flood: most,
                is_repeated: false,
                expected: ReviewedUser::Several,
            },
            Row {
                name: "another count",
                tried: reviewed("u", 7, 8, "alice"),
                flood: most,
                is_repeated: false,
                expected: ReviewedUser::Unknown,
            },
        ] {
            let (mut entries, now) = (Entries::default(), Instant::now());
            entries.add(reviewed("u", 7, 9, "mallory"), now);
            entries.add(row.tried.clone(), now);
            (0..row.flood).for_each(|version| entries.add(reviewed("v", version, 9, "mallory"), now));
            if row.is_repeated {
                entries.add(row.tried, now);
            }
            assert_eq!(entries.user_of(&"u".into(), 7, Content::Count(9), now), row.expected, "{}", row.name);
        }
    }

    #[test]
    fn a_spec_that_differs_in_its_lasting_count_alone_is_that_count() {
        let spec = |replicas: i32, reason: &str| {
            let spec = ReplicaCountBuilder::new("web").spec(json!({"replicas": replicas, "reason": reason}));
            spec.build().spec
        };
        let sale = || spec(3, "sale");
        for (name, before, after, is_count) in [
            ("another count", Some(sale()), spec(7, "sale"), true),
            ("the same spec, as with another annotation", Some(spec(7, "sale")), spec(7, "sale"), true),
            ("another reason", Some(sale()), spec(3, "over"), false),
            ("another count and reason", Some(sale()), spec(7, "over"), false),
            ("the first spec", None, spec(7, "sale"), false),
        ] {
            let content = Content::of_spec(before.as_ref(), &after);
            assert_eq!(content == Content::of_count(Some(after.replicas)), is_count, "{name}");
            let other = spec(after.replicas + 1, &after.reason);
            assert_ne!(content, Content::of_spec(before.as_ref(), &other), "{name}");
        }
    }

    #[test]
    fn old_reviews_are_forgotten() {
        let start = Instant::now();
        for (name, second, is_added, kept) in [
            ("within the minute", 60, false, 1),
            ("after it, while no more reviews arrive", 61, false, 0),
            ("after it, with the next review", 61, true, 1),
        ] {
            let (mut entries, now) = (Entries::default(), start + Duration::from_secs(second));
            entries.add(reviewed("u", 7, 9, "alice"), start);
            if is_added {
                entries.add(reviewed("u", 8, 9, "alice"), now);
            } else {
                entries.forget(now);
            }
            assert_eq!(entries.0.len(), kept, "{name}");
        }
    }
}
