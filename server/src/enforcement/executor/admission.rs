//! Who made which write, which changes were prevented, and whether the webhooks are in force.

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::info;

use super::Executor;
use crate::{
    enforcement::{
        decision::Decision,
        lane::Lane,
        memory::Record,
        observation::Now,
        targets::ManagedTarget,
        writes::{ProbeAnswer, ProbeWrite},
    },
    index::ReplacedVersion,
    resources::{ReplicaCountState, TargetKey},
    reviews::{TargetAttempt, UserNames},
};

impl Executor {
    /// Finds out who made the write that an event shows, and what admission does for the target. `before` is its
    /// `ReplicaCount` before the event. Tells the webhooks that the target is there.
    pub(super) fn observe_admission(
        &mut self,
        key: &TargetKey,
        replaced: Option<ReplacedVersion>,
        before: Option<&ReplicaCountState>,
    ) {
        let Some(target) = self.targets.get_mut(key).filter(|_| self.admission_mode.is_on()) else { return };
        if target.observation.target.is_some() {
            self.reviews.forget_creations_of(key);
        }
        if let Some(replaced) = replaced {
            target.observation.look_up_user(replaced, before, &self.reviews, Instant::now());
        }
        if let Some(group) = self.admissions.observe(key, target) {
            self.probes.add(group, Lane::Healthy);
        }
    }

    /// Takes in an attempt to change a count. It is reported with the next decision that is due for it.
    pub(super) fn take_attempt(&mut self, TargetAttempt { key, attempt }: TargetAttempt) {
        let Some(target) = self.targets.get_mut(&key) else { return };
        if target.memory.attempts.is_repeated(&attempt) {
            return;
        }
        self.metrics.admission.attempted(&attempt.verdict);
        let now = Now::read();
        target.memory.record(Record::Attempt(attempt), now);
        let pause = target.memory.attempts.due_in(now.monotonic).unwrap_or_default();
        self.requeues.add_after(key, Lane::Healthy, pause);
    }

    /// Reports all attempts, also those that are on their way or would wait: no other replica knows of them.
    pub(super) fn report_last_attempts(&mut self, attempts: &mut mpsc::Receiver<TargetAttempt>) {
        for _ in 0..attempts.len() {
            if let Ok(attempt) = attempts.try_recv() {
                self.take_attempt(attempt);
            }
        }
        let is_waiting = |target: &ManagedTarget| !target.memory.attempts.is_empty();
        let waiting = self.targets.keys().filter(|key| self.targets.get(key).is_some_and(is_waiting));
        for key in waiting.cloned().collect::<Vec<_>>() {
            let Some(target) = self.targets.get_mut(&key) else { continue };
            let now = Now::read();
            target.memory.record(Record::LastReport, now);
            self.reconcile(key, now);
        }
    }

    /// Starts the probe that is due next in each lane, if it has room.
    pub(super) fn start_probes(&mut self) {
        while let Some((group, lane)) = self.probes.take(|_| true) {
            // Since it was queued, a probe for the namespace may have hung, or been answered.
            let lane_now = self.admissions.lane(&group);
            if lane != lane_now {
                self.probes.add(group, lane_now);
                continue;
            }
            let Some(write) = self.probe_write(&group) else { continue };
            let (probe, begins) = (self.probe.clone(), self.admissions.take_turn(Instant::now()));
            let work = async move {
                sleep_until(begins).await;
                probe.probe(write).await
            };
            self.probes.start(group, lane, self.term.clone().guard(work));
        }
    }

    /// The dry run for a namespace and kind. `None` if they have no managed target any more.
    fn probe_write(&mut self, group: &TargetKey) -> Option<ProbeWrite> {
        let can_be_probed = |executor: &Self, key: &TargetKey| {
            let observation = executor.targets.get(key).map(|target| &target.observation);
            observation.is_some_and(|known| known.target.is_some() && known.kind.known().is_some())
        };
        let sample = self.admissions.sample(group).filter(|key| can_be_probed(self, key)).cloned();
        let others =
            || self.targets.keys_in(&group.namespace, &group.kind).find(|key| can_be_probed(self, key)).cloned();
        let sample = sample.or_else(others);
        self.admissions.replace_sample(group, sample.clone());
        let key = sample?;
        let ManagedTarget { observation, memory, .. } = self.targets.get(&key)?;
        let (target, kind) = (observation.target.as_ref()?, observation.kind.known()?.clone());
        // A kind may refuse a 0, and does so before a webhook is asked.
        let count = (1..4).find(|count| ![memory.desired, target.replicas].contains(&Some(*count)))?;
        Some(ProbeWrite { kind, uid: target.uid.clone(), count, key })
    }

    /// Takes in the answer of a probe. If the result has changed, all targets of the namespace and kind are decided about.
    pub(super) fn take_probe(&mut self, (group, answer): (TargetKey, ProbeAnswer)) {
        let (changed, after) = self.admissions.answered(&group, answer);
        if self.admissions.sample(&group).is_some() {
            self.probes.add_after(group.clone(), Lane::Healthy, after);
        }
        let Some(admission) = changed else { return };
        let (namespace, kind) = (&*group.namespace, &group.kind);
        info!(namespace, %kind, admission = admission.label(), "webhooks probed");
        let keys: Vec<_> = self.targets.keys_in(namespace, kind).cloned().collect();
        for key in keys {
            if let Some(target) = self.targets.get_mut(&key) {
                target.observation.admission = Some(admission);
            }
            self.reconcile(key, Now::read());
        }
    }

    /// Counts a drift whose user no review shows, and logs prevented changes.
    pub(super) fn report_admission(&self, key: &TargetKey, decision: &Decision) {
        let is_recorded = self.admission_mode.is_on() && self.admission_users == UserNames::Name;
        if decision.drift.as_ref().is_some_and(|drift| is_recorded && drift.user.is_empty()) {
            let is_ambiguous = self.targets.get(key).is_some_and(|target| target.observation.is_ambiguous());
            let metrics = &self.metrics.admission;
            let counter = if is_ambiguous { &metrics.ambiguous } else { &metrics.unmatched };
            counter.inc();
        }
        if let Some((attempts, latest)) = &decision.attempts {
            let (user, manager) = (named(&latest.user), named(&latest.manager));
            let (from, to, verdict) = (latest.from, latest.to, &*latest.verdict);
            info!(target = %key, user, manager, from, to, verdict, attempts, "change prevented");
        }
    }
}

/// A name for the log. One that is not known is left out.
pub(super) fn named(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}
