//! Gives the ownership of counts back, also of those that are no longer held.

use tracing::warn;

use super::{Answered, Executor};
use crate::{
    enforcement::{
        failure::{Failure, OWNERSHIP_PAUSES},
        give_back::FinalGiveBack,
        lane::Lane,
        memory::Record,
        observation::Now,
        targets::ManagedTarget,
        writes::OwnershipAnswer,
    },
    resources::TargetKey,
};

/// How often a give-back is tried after the end of the management. The pauses between add up to a minute.
pub(super) const MAX_FINAL_ATTEMPTS: u32 = 6;

impl Executor {
    /// Finds out whether the ownership of a target's count is given back, as far as is known.
    pub(super) fn observe_rights(&mut self, key: &TargetKey) {
        let gives_back = self.ownership_patcher.as_ref().is_some_and(|patcher| patcher.is_allowed(&key.kind));
        if let Some(target) = self.targets.get_mut(key) {
            target.observation.gives_back = gives_back;
        }
    }

    /// Queues the give-back that was decided.
    pub(super) fn queue_give_back(&mut self, key: &TargetKey) {
        let Some(target) = self.targets.get_mut(key).filter(|target| target.observation.gives_back) else { return };
        // Until a give-back of this term has started, a target gets one even if its owners are right, because a
        // give-back also probes the fence.
        if !self.is_fence_probed && target.give_back.is_none() {
            target.give_back = target.look_at_owners();
        }
        if let Some(give_back) = &target.give_back {
            self.ownership.add_after(key.clone(), target.memory.ownership_lane(), give_back.after);
        }
    }

    /// Queues the give-back that is left to do after the `ReplicaCount` is gone. A correction that is under way takes the
    /// count once more, so its answer comes first.
    pub(super) fn queue_final_give_back(&mut self, key: &TargetKey, known: &ManagedTarget) {
        let Some(give_back) = known.final_give_back() else { return };
        let uid = known.observation.count.uid.clone();
        let last = FinalGiveBack { uid, give_back, is_started: false, failure: None };
        self.final_give_backs.insert(key.clone(), last);
        if known.memory.correcting.is_none() {
            self.ownership.add(key.clone(), Lane::Healthy);
        }
    }

    /// Goes on after the answer to a correction whose `ReplicaCount` is gone.
    pub(super) fn end_late_correction(&mut self, key: TargetKey) {
        if self.final_give_backs.contains_key(&key) {
            self.ownership.add(key, Lane::Healthy);
        }
    }

    /// Starts as many give-backs as may be under way.
    pub(super) fn start_give_backs(&mut self) {
        while self.has_room_beside_corrections(&self.ownership)
            && let Some((key, lane)) = self.ownership.take(|_| true)
        {
            self.start_give_back(key, lane);
        }
    }

    /// Starts the give-backs to targets that are not managed any more: no other replica knows of them.
    pub(super) fn start_final_give_backs(&mut self) {
        while let Some((key, lane)) = self.ownership.take(|key| self.final_give_backs.contains_key(key)) {
            self.start_give_back(key, lane);
        }
    }

    fn start_give_back(&mut self, key: TargetKey, lane: Lane) {
        // Since the decision, the right may have turned out to be missing, or a failure may have set a pause.
        let Some(patcher) = self.ownership_patcher.clone().filter(|patcher| patcher.is_allowed(&key.kind)) else {
            self.final_give_backs.remove(&key);
            return;
        };
        if self.final_give_backs.contains_key(&key) && self.unanswered_ends.contains_key(&key) {
            // The answer to the correction that is under way queues it again.
            return;
        }
        let now = Now::read();
        let (pause, next) = match (self.final_give_backs.get_mut(&key), self.targets.get_mut(&key)) {
            (Some(FinalGiveBack { uid, give_back, is_started, failure }), _) => {
                *is_started = true;
                let pause = failure.as_ref().map(|failure| failure.pause(now.monotonic));
                (pause.unwrap_or_default(), Some((uid.clone(), give_back.clone())))
            }
            (None, Some(target)) => {
                let pause = target.memory.ownership_pause(now);
                let give_back = target.give_back.take_if(|_| pause.is_zero());
                (pause, give_back.map(|give_back| (target.observation.count.uid.clone(), *give_back)))
            }
            (None, None) => return,
        };
        if !pause.is_zero() {
            return self.ownership.add_after(key, lane, pause);
        }
        let Some((uid, give_back)) = next else { return };
        self.is_fence_probed = true;
        let target_key = key.clone();
        let work = async move { (uid, patcher.give_back(&target_key, &give_back).await) };
        self.ownership.start(key, lane, self.term.clone().guard(work));
    }

    pub(super) fn take_ownership(&mut self, (key, (uid, answer)): (TargetKey, Answered<OwnershipAnswer>)) {
        if self.final_give_backs.get(&key).is_some_and(|last| last.uid == uid && last.is_started) {
            return self.take_final_answer(key, &answer);
        }
        let Some(target) = self.targets.answered(&key, &uid) else { return };
        let now = Now::read();
        target.memory.record(Record::Ownership(&answer), now);
        if let Some(failure) = &target.memory.ownership_failure {
            self.metrics.ownership_failures.inc();
            if failure.attempts == 1 && self.failures.admits(1, now.monotonic) {
                warn!(target = %key, error = failure.error, "ownership not given back: server-side applies of other \
                    counts may meet a conflict; trying again");
            }
        }
        // Without the target there is nothing to decide until an event shows more.
        if !matches!(answer, OwnershipAnswer::Gone) {
            self.reconcile(key, now);
        }
    }

    /// Takes in the answer to a give-back to a target that is not managed any more.
    fn take_final_answer(&mut self, key: TargetKey, answer: &OwnershipAnswer) {
        let now = Now::read();
        if let (Some(last), OwnershipAnswer::Failed { cause, error }) = (self.final_give_backs.get_mut(&key), answer) {
            self.metrics.ownership_failures.inc();
            let failure = Failure::next(last.failure.as_deref(), *cause, error, &OWNERSHIP_PAUSES, now.monotonic);
            let (attempts, pause) = (failure.attempts, failure.pause(now.monotonic));
            last.failure = Some(failure);
            if attempts < MAX_FINAL_ATTEMPTS {
                return self.ownership.add_after(key, Lane::of(cause.is_of_target()), pause);
            }
            if self.failures.admits(1, now.monotonic) {
                warn!(target = %key, error, attempts, "ownership of a count that is no longer held not given back: the \
                    next server-side apply of another count meets a conflict");
            }
        }
        self.final_give_backs.remove(&key);
        // The target may be managed again, and have a give-back of its own.
        self.queue_give_back(&key);
    }
}
