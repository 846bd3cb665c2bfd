//! What is known of one managed target at the moment at which it is reconciled.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    index::{KindState, ReplacedVersion},
    resources::{ReplicaCountState, TargetState, Uid},
    reviews::{Admission, Content, ReviewedUser, Reviews},
};

/// The time of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock, which the status shows.
    pub wall: Timestamp,
    /// The monotonic clock: pauses after failures are measured by it.
    pub monotonic: Instant,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self { wall: crate::index::now(), monotonic: Instant::now() }
    }
}

/// The latest state of one managed target, as the watches delivered it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The `ReplicaCount`.
    pub count: Arc<ReplicaCountState>,
    /// The target, if it exists.
    pub target: Option<Arc<TargetState>>,
    /// Whether the target's kind is watched. Only then does an absent target mean that it does not exist.
    pub kind: KindState,
    /// The HorizontalPodAutoscaler that scales the target.
    pub autoscaler: Option<Arc<str>>,
    /// Until when this state is known to be current. That is the time of its snapshot. When a timer fires, all waiting
    /// events have been observed, so it is the present time. Overrides are compared with it, so the server never ends
    /// an override while an event with a newer spec is still queued.
    pub at: Timestamp,
    /// The largest count that the server enforces, in replicas.
    pub max_replicas: i32,
    /// Whether the server gives the ownership of this kind's counts back, as far as is known.
    pub gives_back: bool,
    /// Who wrote the latest states.
    pub users: Users,
    /// What admission does for the target. `None` if that is still to be tested.
    pub admission: Option<Admission>,
}

/// Who wrote the latest states, as reviews of admission show it. Each belongs to a resource version.
#[derive(Clone, Debug, Default)]
pub struct Users {
    target: Option<Box<TargetUser>>,
    count: Option<(u64, ReviewedUser)>,
}

/// Who wrote the count that a state of the target has.
#[derive(Clone, Debug)]
struct TargetUser {
    version: u64,
    uid: Uid,
    count: Option<i32>,
    user: ReviewedUser,
}

impl Observation {
    /// Looks up who made the write that an event of a watch shows. `before` is the `ReplicaCount` as it was observed
    /// before.
    pub fn look_up_user(
        &mut self,
        replaced: ReplacedVersion,
        before: Option<&ReplicaCountState>,
        reviews: &Reviews,
        now: Instant,
    ) {
        match replaced {
            ReplacedVersion::Target(before) => {
                let known = self.users.target.take();
                let target = self.target.as_ref().map(|target| {
                    let (version, uid, count) = (target.resource_version, target.uid.clone(), target.replicas);
                    // A write that leaves the count alone is not reviewed, and it keeps its user.
                    let is_kept =
                        |known: &TargetUser| known.version == before && known.uid == uid && known.count == count;
                    let user = match reviews.user_of(&uid, before, Content::of_count(count), now) {
                        ReviewedUser::Unknown => {
                            known.filter(|known| is_kept(known)).map_or(ReviewedUser::Unknown, |known| known.user)
                        }
                        user => user,
                    };
                    TargetUser { version, uid, count, user }
                });
                let is_known = |target: &TargetUser| !matches!(target.user, ReviewedUser::Unknown);
                self.users.target = target.filter(is_known).map(Box::new);
            }
            ReplacedVersion::Count(version) => {
                let before = before.filter(|before| before.resource_version == version).map(|before| &before.spec);
                let content = Content::of_spec(before, &self.count.spec);
                let user = reviews.user_of(&self.count.uid, version, content, now);
                self.users.count = Some((self.count.resource_version, user));
            }
        }
    }

    /// Who wrote the target's latest state. `None` if it is not known.
    fn target_writer(&self) -> Option<&ReviewedUser> {
        let version = self.target.as_ref().map(|target| target.resource_version)?;
        self.users.target.as_ref().filter(|of| of.version == version).map(|of| &of.user)
    }

    /// The user who wrote the target's latest state, if one is known.
    pub fn target_user(&self) -> Option<&Arc<str>> {
        self.target_writer().and_then(ReviewedUser::known)
    }

    /// Whether the reviews of several users fit the target's latest state.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self.target_writer(), Some(ReviewedUser::Several | ReviewedUser::SeveralUsers))
    }

    /// Who wrote the latest state of the `ReplicaCount`. `None` if no event of a watch has shown this state.
    pub fn count_writer(&self) -> Option<&ReviewedUser> {
        let version = self.count.resource_version;
        self.users.count.as_ref().filter(|(of, _)| *of == version).map(|(_, user)| user)
    }
}
