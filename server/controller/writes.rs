//! The writes of the controller: which start when, and what their ends mean.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::{
    Controller, FEW_CORRECTIONS, HELD_BACK, MAX_CONNECTIONS, MAX_CORRECTIONS, MAX_GIVE_BACKS, MAX_REPORTS, SLOW,
    correct::{self, Corrected, Correction},
    ownership::GivenBack,
    plan::Plan,
    report::{Report, Reported},
    tracked::Failure,
    turns::Turns,
};
use crate::{
    api::TargetKey,
    cache::{KindState, now},
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
        // One that is being corrected is told of with its correction, in one report instead of two.
        while self.reports.len() < self.at_once(&self.unreported, MAX_REPORTS)
            && let Some(key) = self
                .unreported
                .take(|key| self.reporting.contains(key) || self.correcting.contains(key) && !self.slow.contains(key))
        {
            self.start_report(key);
        }
        while self.give_backs.len() < self.at_once(&self.unsettled, MAX_GIVE_BACKS)
            && let Some(key) = self.unsettled.take(|key| self.settling.contains(key))
        {
            self.start_give_back(key);
        }
    }

    /// How many corrections are under way that are not slow.
    fn at_pace(&self) -> usize {
        self.correcting.len() - self.slow.len()
    }

    /// How many writes may be under way that yield to corrections.
    fn at_once(&self, waiting: &Turns, most: usize) -> usize {
        let busy = self.at_pace() > FEW_CORRECTIONS;
        match waiting.since() {
            Some(since) if busy => usize::from(since.elapsed() > HELD_BACK),
            _ => most,
        }
    }

    fn decide(&mut self, key: TargetKey) {
        // While a write is under way, its end is what decides next.
        let Some(tracked) = self.targets.get_mut(&key).filter(|_| !self.correcting.contains(&key)) else { return };
        let situation = tracked.situation(now());
        let plan = situation.plan();
        let again = [situation.again_in(), tracked.contest.ends_in(now())].into_iter().flatten().min();
        let correction = match (plan, &tracked.kind) {
            (Plan::Correct(to), KindState::Watched(kind)) => Correction::Scale { to, kind: kind.clone() },
            (Plan::Unset, _) => Correction::Unset { count: tracked.count.clone() },
            _ => {
                tracked.failure = None;
                return self.decide_again(key, again);
            }
        };
        let pause = tracked.pause(now());
        if !pause.is_zero() {
            return self.decide_again(key, Some(again.map_or(pause, |again| again.min(pause))));
        }
        if let Correction::Scale { to, .. } = correction {
            tracked.note_correcting(to);
        }
        self.decide_again(key.clone(), again);
        self.correcting.insert(key.clone());
        let (corrector, slowed) = (self.corrector.clone(), self.slowed.0.clone());
        self.corrections.spawn(self.term.clone().guard(async move {
            let done = {
                let mut write = pin!(corrector.write(&key, correction));
                match timeout(SLOW, &mut write).await {
                    Ok(done) => done,
                    Err(_) => {
                        // Nobody hears of it once the server stops.
                        let _ = slowed.send(key.clone());
                        write.await
                    }
                }
            };
            (key, done)
        }));
    }

    /// Takes in that a correction has become slow, unless it has ended since.
    pub(super) fn slowed(&mut self, key: TargetKey) {
        if self.correcting.contains(&key) {
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
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        match done {
            Corrected::Scaled { to, version } => {
                self.metrics.corrections.inc();
                debug!(target = %key, to, version, "scaled");
                tracked.note_written(Some((to, version)), now());
                self.tell_of_the_end(&key);
            }
            Corrected::Unset => tracked.note_written(None, now()),
            Corrected::Failed { error, retry_after } => {
                tracked.note_written(None, now());
                let attempts = tracked.failure.as_ref().map_or(0, |failure| failure.attempts).saturating_add(1);
                let pause = retry_after.unwrap_or_else(|| correct::pause(attempts));
                warn!(target = %key, error, attempts, pause_ms = pause.as_millis() as u64, "correction failed, trying again");
                self.metrics.correction_failures.inc();
                tracked.failure = Some(Failure { attempts, error, retry_at: Instant::now() + pause });
            }
        }
        self.enqueue(key);
    }

    fn start_report(&mut self, key: TargetKey) {
        let news = self.news.remove(&key).unwrap_or_default();
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        let status = tracked.status_to_send(now());
        if status.is_none() && news.is_empty() {
            return;
        }
        let report = Report {
            status,
            stored_drifts: tracked.stored_drifts(),
            news,
            count: tracked.count.clone(),
            target: tracked.reference(&key),
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
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        if let Some((status, version)) = done.stored {
            tracked.note_stored(status, version);
        }
        if done.failed {
            // Not at once: a status is late rather than in the way.
            self.schedule.after(key, correct::pause(u32::MAX));
        }
    }

    fn start_give_back(&mut self, key: TargetKey) {
        let Some(ownership) = self.ownership.clone().filter(|ownership| ownership.may_patch(&key.kind)) else { return };
        let Some(tracked) = self.targets.get(&key) else { return };
        let Some(give) = tracked.give_back(now()) else { return };
        let pause = tracked.give_back_pause();
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
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        tracked.note_given_back(&done);
        if let GivenBack::Failed(error) = done {
            if tracked.give_back_failures() == 1 {
                warn!(target = %key, error, "ownership not given back: server-side applies of other counts may meet a \
                    conflict; trying again");
            }
            self.unsettled.add(key);
        }
    }
}
