//! The writes of the controller: which start when, and what their ends mean.

use std::{pin::pin, time::Duration};

use tokio::{
    task,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use super::{
    Controller, FEW_CORRECTIONS, HELD_BACK, MAX_CONNECTIONS, MAX_CORRECTIONS, MAX_GIVE_BACKS, MAX_REPORTS, SLOW,
    SlowCorrection,
    correct::{self, Corrected, Correction},
    ownership::GivenBack,
    plan::Plan,
    report::{Report, Reported},
    tracked::Failure,
};
use crate::{
    index::{KindState, now},
    resources::TargetKey,
};

impl Controller {
    /// Starts as many writes as may be under way, corrections first.
    pub(super) fn start_writes(&mut self) {
        while self.corrections.len() < MAX_CONNECTIONS
            && self.at_pace() < MAX_CORRECTIONS
            && let Some(key) = self.schedule.take()
        {
            self.decide(key);
        }
        self.start_reports();
        while self.give_backs.len() < at_once(self.at_pace(), self.unsettled.since(), MAX_GIVE_BACKS)
            && let Some(key) = self.unsettled.take(|key| self.settling.contains(key))
        {
            self.start_give_back(key);
        }
    }

    /// Starts as many reports as may be under way. A target that is being corrected is told of with its correction, in one
    /// report instead of two.
    pub(super) fn start_reports(&mut self) {
        while self.reports.len() < at_once(self.at_pace(), self.unreported.since(), MAX_REPORTS)
            && let Some(key) = self.unreported.take(|key| {
                self.reporting.contains(key) || (self.correcting.contains_key(key) && !self.slow.contains(key))
            })
        {
            self.start_report(key);
        }
    }

    /// How many corrections are under way that are not slow.
    fn at_pace(&self) -> usize {
        self.correcting.len() - self.slow.len()
    }

    fn decide(&mut self, key: TargetKey) {
        // While a write is under way, its end is what decides next.
        let Some(managed) = self.targets.get_mut(&key).filter(|_| !self.correcting.contains_key(&key)) else { return };
        let observation = managed.observation(now());
        let plan = observation.plan();
        let again = [observation.again_in(), managed.contest.ends_in(now())].into_iter().flatten().min();
        let correction = match (plan, &managed.kind) {
            (Plan::Correct(to), KindState::Watched(kind)) => Correction::Scale { to, kind: kind.clone() },
            (Plan::Unset, _) => Correction::Unset { count: managed.count.clone() },
            _ => {
                managed.failure = None;
                return self.decide_again(key, again);
            }
        };
        let pause = managed.pause(now());
        if !pause.is_zero() {
            return self.decide_again(key, Some(again.map_or(pause, |again| again.min(pause))));
        }
        if let Correction::Scale { to, .. } = correction {
            managed.note_correcting(to);
        }
        self.decide_again(key.clone(), again);
        let (corrector, slowed, target) = (self.corrector.clone(), self.slowed.0.clone(), key.clone());
        let correcting = self.corrections.spawn(self.term.clone().guard(async move {
            let done = {
                let mut write = pin!(corrector.write(&key, correction));
                match timeout(SLOW, &mut write).await {
                    Ok(done) => done,
                    Err(_) => {
                        // The controller outlives its tasks.
                        let _ = slowed.send((key.clone(), task::id()));
                        write.await
                    }
                }
            };
            (key, done)
        }));
        self.correcting.insert(target, correcting.id());
    }

    /// Takes in that a correction has become slow, unless it has ended since.
    pub(super) fn slowed(&mut self, (key, task): SlowCorrection) {
        if self.correcting.get(&key) == Some(&task) {
            self.slow.insert(key);
        }
    }

    fn decide_again(&mut self, key: TargetKey, pause: Option<Duration>) {
        if let Some(pause) = pause {
            self.schedule.after(key, pause);
        }
    }

    pub(super) fn corrected(&mut self, (key, done): (TargetKey, Corrected)) {
        self.correcting.remove(&key);
        self.slow.remove(&key);
        let Some(managed) = self.targets.get_mut(&key) else { return };
        match done {
            Corrected::Scaled { to, version } => {
                self.metrics.corrections.inc();
                debug!(target = %key, to, version, "scaled");
                managed.note_written(Some((to, version)), now());
                self.tell_of_the_end(&key);
            }
            Corrected::Unset => managed.note_written(None, now()),
            Corrected::Failed { error, retry_after } => {
                managed.note_written(None, now());
                let attempts = managed.failure.as_ref().map_or(0, |failure| failure.attempts).saturating_add(1);
                let pause = retry_after.unwrap_or_else(|| correct::pause(attempts));
                warn!(target = %key, error, attempts, pause_ms = pause.as_millis() as u64, "correction failed, trying again");
                self.metrics.correction_failures.inc();
                managed.failure = Some(Failure { attempts, error, retry_at: Instant::now() + pause });
            }
        }
        self.enqueue(key);
    }

    fn start_report(&mut self, key: TargetKey) {
        let news = self.news.remove(&key).unwrap_or_default();
        let Some(managed) = self.targets.get_mut(&key) else { return };
        let status = managed.status_to_send(now());
        if status.is_none() && news.is_empty() {
            return;
        }
        let report = Report {
            status,
            stored_drifts: managed.stored_drifts(),
            news,
            count: managed.count.clone(),
            target: managed.reference(&key),
        };
        self.reporting.insert(key.clone());
        let reporter = self.reporter.clone();
        self.reports.spawn(self.term.clone().guard(async move {
            let done = reporter.write(&key, report).await;
            (key, done)
        }));
    }

    pub(super) fn reported(&mut self, (key, done): (TargetKey, Reported)) {
        self.reporting.remove(&key);
        let Some(managed) = self.targets.get_mut(&key) else { return };
        if let Some((status, version)) = done.stored {
            managed.note_stored(status, version);
        }
        if done.failed {
            // Not at once: a status is late rather than in the way.
            self.schedule.after(key, correct::pause(u32::MAX));
        }
    }

    fn start_give_back(&mut self, key: TargetKey) {
        let Some(ownership) = self.ownership.clone().filter(|ownership| ownership.may_patch(&key.kind)) else { return };
        let Some(managed) = self.targets.get(&key) else { return };
        let Some(give) = managed.give_back(now()) else { return };
        let pause = managed.give_back_pause();
        if !pause.is_zero() {
            return self.schedule.after(key, pause);
        }
        self.settling.insert(key.clone());
        self.give_backs.spawn(self.term.clone().guard(async move {
            let done = ownership.give_back(&key, &give).await;
            (key, done)
        }));
    }

    pub(super) fn given_back(&mut self, (key, done): (TargetKey, GivenBack)) {
        self.settling.remove(&key);
        let Some(managed) = self.targets.get_mut(&key) else { return };
        managed.note_given_back(&done);
        if let GivenBack::Failed(error) = done {
            if managed.give_back_failures() == 1 {
                warn!(target = %key, error, "ownership not given back: server-side applies of other counts may meet a \
                    conflict; trying again");
            }
            self.unsettled.add(key);
        }
    }
}

/// How many writes may be under way that yield to corrections, while so many corrections are at the API server's pace, and
/// since when the first of those writes waits.
fn at_once(corrections: usize, waiting: Option<Instant>, most: usize) -> usize {
    match waiting {
        Some(since) if corrections > FEW_CORRECTIONS => usize::from(since.elapsed() >= HELD_BACK),
        _ => most,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_yields_to_corrections_is_held_back_for_a_time() {
        let since = Instant::now();
        tokio::time::advance(HELD_BACK - Duration::from_secs(1)).await;
        for (corrections, before, after) in
            [(0, 5, 5), (FEW_CORRECTIONS, 5, 5), (FEW_CORRECTIONS + 1, 0, 1), (64, 0, 1)]
        {
            assert_eq!(at_once(corrections, Some(since), 5), before, "{corrections}");
            let long_ago = since.checked_sub(Duration::from_secs(1)).unwrap();
            assert_eq!(at_once(corrections, Some(long_ago), 5), after, "{corrections}");
        }
    }
}
