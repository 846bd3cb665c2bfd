//! What the reviews of admission have shown lately: who made which write, and which creations may have failed because their
//! counts were kept. The endpoint records it, and enforcement asks.
//!
//! Nothing here calls the API server, and time is passed in.
//!
//! * [`AdmissionMode`], [`UserNames`]: the settings
//! * [`Admission`]: what they mean for one target
//! * [`Reviews`]: who made which write, which dry runs have arrived, which creations were kept, and what the configured
//!   webhooks can do at most
//! * [`TargetAttempt`]: an attempt that was prevented, on its way to the status

mod admission;
mod attempt;
mod creations;
mod entries;
mod mode;
mod probes;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

pub(crate) use self::admission::paused_autoscaler;
pub use self::{
    admission::Admission,
    attempt::{ATTEMPTS, TargetAttempt, verdicts},
    creations::KeptCreation,
    entries::{Content, Reviewed, ReviewedUser},
    mode::{AdmissionMode, UserNames},
    probes::Probed,
};
use self::{creations::Creations, entries::Entries, probes::Probes};
use crate::resources::{TargetKey, Uid};

/// The latest reviews, shared by the endpoint and the executor.
#[derive(Debug)]
pub struct Reviews {
    entries: Mutex<Entries>,
    creations: Mutex<Creations>,
    probes: Mutex<Probes>,
    configured: watch::Sender<Admission>,
}

impl Default for Reviews {
    /// Nothing is missing until the publisher says so.
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            creations: Mutex::default(),
            probes: Mutex::default(),
            configured: watch::Sender::new(Admission::Guarded),
        }
    }
}

impl Reviews {
    /// Records who makes a write. The API server stores it after the review, so the executor can ask when it
    /// sees the new state.
    pub fn record(&self, reviewed: Reviewed, now: Instant) {
        self.entries.lock().add(reviewed, now);
    }

    /// Who wrote a state of the object with this UID. `before` is the resource version of the state that the write
    /// replaced, or 0 if the write created the object.
    pub fn user_of(&self, uid: &Uid, before: u64, content: Content, now: Instant) -> ReviewedUser {
        self.entries.lock().user_of(uid, before, content, now)
    }

    /// Records that the count of a target was kept at its creation.
    pub(crate) fn record_creation(&self, creation: KeptCreation, now: Instant) {
        self.creations.lock().add(creation, now);
    }

    /// Whether such a creation seems to have failed because its count was kept.
    pub(crate) fn is_creation_refused(&self, creation: &KeptCreation, now: Instant) -> bool {
        self.creations.lock().is_refused(creation, now)
    }

    /// A target has shown up, so its creation did not fail.
    pub(crate) fn forget_creations_of(&self, key: &TargetKey) {
        self.creations.lock().remove(key);
    }

    /// Forgets all creations, because targets may have come and gone unseen.
    pub(crate) fn forget_creations(&self) {
        *self.creations.lock() = Creations::default();
    }

    /// Drops what does not count any more, and the names in it.
    pub(crate) fn forget_old(&self, now: Instant) {
        self.entries.lock().forget(now);
        self.creations.lock().forget(now);
    }

    /// Reports what the webhooks can do at most: guard, unless one of their configurations is gone.
    pub(crate) fn set_configured(&self, configured: Admission) {
        self.configured.send_if_modified(|now| std::mem::replace(now, configured) != configured);
    }

    /// What the webhooks can do at most, and its changes.
    pub(crate) fn configured(&self) -> watch::Receiver<Admission> {
        self.configured.subscribe()
    }

    /// Begins a probe of the target with this UID.
    pub fn begin_probe(&self, uid: Uid) {
        self.probes.lock().begin(uid);
    }

    /// Takes in a dry run for the probes that are under way.
    pub fn record_dry_run(&self, uid: &Uid, is_mutating: bool) {
        self.probes.lock().add(uid, is_mutating);
    }

    /// Ends the probe of the target with this UID, and returns what has arrived.
    pub fn end_probe(&self, uid: &Uid) -> Probed {
        self.probes.lock().end(uid)
    }
}
