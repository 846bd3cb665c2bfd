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
    /// The count of a target, in replicas.
    Count(i32),
    /// A hash of the spec of a `ReplicaCount`.
    Spec(u64),
}

impl Content {
    /// The content of the spec of a `ReplicaCount`.
    pub fn of_spec(spec: &ReplicaCountSpec) -> Self {
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

/// The reviews of the last minute, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Entries(VecDeque<(Reviewed, Instant)>);

impl Entries {
    /// Adds a review. The mutating, the repeated and the validating reviews of one write are equal, and are kept once.
    pub(super) fn add(&mut self, reviewed: Reviewed, now: Instant) {
        while self.0.front().is_some_and(|(_, at)| is_over(*at, now)) {
            self.0.pop_front();
        }
        if let Some(known) = self.0.iter().position(|(known, _)| *known == reviewed) {
            self.0.remove(known);
        }
        self.make_room(MAX_OF_USER, |known| known.user == reviewed.user);
        self.make_room(MAX_OF_NAMESPACE, |known| known.namespace == reviewed.namespace);
        self.make_room(MAX, |_| true);
        self.0.push_back((reviewed, now));
    }

    /// Removes the oldest of some reviews if there are as many as may be kept.
    fn make_room(&mut self, most: usize, is_one: impl Fn(&Reviewed) -> bool) {
        let is_one = |(known, _): &(Reviewed, Instant)| is_one(known);
        // Usually there are few reviews, and none is counted.
        if self.0.len() >= most
            && self.0.iter().filter(|known| is_one(known)).count() >= most
            && let Some(oldest) = self.0.iter().position(is_one)
        {
            self.0.remove(oldest);
        }
    }

    /// Who made the write that led from one version of an object to this content.
    pub(super) fn user_of(&self, uid: &Uid, before: u64, content: Content, now: Instant) -> ReviewedUser {
        let fits = |(known, at): &&(Reviewed, Instant)| known.is_of(uid, before, content) && !is_over(*at, now);
        let users: Vec<_> = self.0.iter().filter(fits).map(|(known, _)| &known.user).collect();
        let Some(first) = users.first() else { return ReviewedUser::Unknown };
        let are_several = users.iter().any(|user| user != first);
        let is_server = users.iter().any(|user| user.is_empty());
        match (are_several, is_server) {
            (true, true) => ReviewedUser::Several,
            (true, false) => ReviewedUser::SeveralUsers,
            (false, true) => ReviewedUser::Unknown,
            (false, false) => ReviewedUser::Known((*first).clone()),
        }
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) > MAX_AGE
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Row {
                name: "this server, for somebody else",
                reviews: vec![other(|other| other.user = "".into())],
                second: 0,
                expected: ReviewedUser::Unknown,
            },
            Row {
                name: "this server, and a user whose write was refused",
                reviews: vec![alice.clone(), other(|other| other.user = "".into())],
                second: 0,
                expected: ReviewedUser::Several,
            },
            Row {
                name: "this server, and two users whose writes were refused",
                reviews: vec![alice.clone(), other(|_| ()), other(|other| other.user = "".into())],
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
        let others = entries.0.iter().filter(|(known, _)| &*known.namespace == "hostile").count();
        assert_eq!(others, MAX_OF_NAMESPACE);
        for version in 0..3000 {
            let namespace = format!("n-{}", version % 30).into();
            entries.add(Reviewed { namespace, ..reviewed("x", version, 9, &version.to_string()) }, now);
        }
        assert_eq!(entries.0.len(), MAX, "all of them together");
    }

    #[test]
    fn old_reviews_are_forgotten() {
        let (mut entries, start) = (Entries::default(), Instant::now());
        entries.add(reviewed("u", 7, 9, "alice"), start);
        entries.add(reviewed("u", 8, 9, "alice"), start + Duration::from_secs(61));
        assert_eq!(entries.0.len(), 1);
    }
}
