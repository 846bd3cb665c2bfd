//! Keeps every managed target at its desired count.
//!
//! One task hears every event of a managed target in order ([`crate::cache`]) and decides at once ([`plan`]). Writes run
//! beside it: corrections first, then what reports on them ([`report`]), so that neither a slow write nor a flood of
//! drifts delays the next decision, and a target in trouble delays only itself.

mod correct;
mod plan;
mod report;
mod tracked;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use kube::Client;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::{
    sync::CancellationToken,
    time::{DelayQueue, delay_queue},
};
use tracing::{info, warn};

use self::{
    correct::{Corrected, Correction},
    plan::Plan,
    report::{Report, Reported},
    tracked::{Failure, Tracked},
};
use crate::{
    api::{Drift, TargetKey, TargetKind},
    cache::{Cache, Seen},
    telemetry::Metrics,
};

/// How many corrections are under way at once. The API server sets the pace; this bounds our connections to it.
const MAX_CORRECTIONS: usize = 64;

/// How many status and Event writes are under way at once: few, since they yield to corrections.
const MAX_REPORTS: usize = 8;

/// The longest sleep until an override ends, far below what the timer can hold.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// What the controller works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The kinds that are enforced.
    pub kinds: Vec<TargetKind>,
    /// The largest count that is enforced, in replicas.
    pub max_replicas: i32,
    /// Where drifts and corrections are counted.
    pub metrics: Arc<Metrics>,
}

/// Runs until the token is cancelled. Starts once the cache has synced.
pub async fn run(context: Context, cache: Arc<Cache>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = cache.synced() => {}
    }
    let (snapshot, events) = cache.attach_controller();
    info!(managed = snapshot.len(), "enforcing");
    let mut controller = Controller::new(context);
    snapshot.into_iter().for_each(|seen| controller.observe(seen));
    controller.follow(events, stop).await;
}

struct Controller {
    corrector: correct::Corrector,
    reporter: report::Reporter,
    metrics: Arc<Metrics>,
    max_replicas: i32,
    targets: HashMap<TargetKey, Tracked>,
    /// Targets to decide on, in the order in which they came up; each at most once.
    due: VecDeque<TargetKey>,
    queued: BTreeSet<TargetKey>,
    /// Targets to decide on later, and the one timer of each.
    later: DelayQueue<TargetKey>,
    timers: HashMap<TargetKey, delay_queue::Key>,
    corrections: JoinSet<(TargetKey, Corrected)>,
    /// Targets that a write is under way for: the next one waits, so that writes to one target keep their order.
    correcting: BTreeSet<TargetKey>,
    reports: JoinSet<(TargetKey, Reported)>,
    /// Targets whose status may have changed.
    unreported: BTreeSet<TargetKey>,
    reporting: BTreeSet<TargetKey>,
    announcements: HashMap<TargetKey, Drift>,
}

impl Controller {
    fn new(context: Context) -> Self {
        Self {
            corrector: correct::Corrector::new(context.client.clone(), &context.kinds),
            reporter: report::Reporter::new(context.client, &context.kinds),
            metrics: context.metrics,
            max_replicas: context.max_replicas,
            targets: HashMap::new(),
            due: VecDeque::new(),
            queued: BTreeSet::new(),
            later: DelayQueue::new(),
            timers: HashMap::new(),
            corrections: JoinSet::new(),
            correcting: BTreeSet::new(),
            reports: JoinSet::new(),
            unreported: BTreeSet::new(),
            reporting: BTreeSet::new(),
            announcements: HashMap::new(),
        }
    }

    async fn follow(&mut self, mut events: mpsc::UnboundedReceiver<Seen>, stop: CancellationToken) {
        loop {
            self.start_writes();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(seen) = events.recv() => self.observe(seen),
                Some(Ok((key, done))) = self.corrections.join_next() => self.corrected(key, done),
                Some(Ok((key, done))) = self.reports.join_next() => self.reported(key, done),
                Some(key) = self.later.next() => self.decide_later(key.into_inner()),
            }
        }
        // What was decided is written; what was not, the next server decides.
        while self.corrections.join_next().await.is_some() {}
    }

    fn observe(&mut self, seen: Seen) {
        let key = seen.key.clone();
        let Some(count) = seen.count.clone() else {
            self.targets.remove(&key);
            self.metrics.managed.set(self.targets.len() as i64);
            return;
        };
        let fresh = self.targets.get(&key).is_none_or(|tracked| tracked.count.metadata.uid != count.metadata.uid);
        if fresh {
            self.targets.insert(key.clone(), Tracked::new(count.clone()));
            self.metrics.managed.set(self.targets.len() as i64);
        }
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        if let Some(drift) = tracked.observe(count, seen, Timestamp::now()) {
            self.metrics.drifts.inc();
            info!(target = %key, manager = drift.manager, operation = drift.operation, subresource = drift.subresource,
                from = drift.from, to = drift.to, "drift");
        }
        self.enqueue(key);
    }

    fn enqueue(&mut self, key: TargetKey) {
        self.unreported.insert(key.clone());
        if self.queued.insert(key.clone()) {
            self.due.push_back(key);
        }
    }

    fn decide_in(&mut self, key: TargetKey, pause: Duration) {
        let timer = self.later.insert(key.clone(), pause);
        if let Some(earlier) = self.timers.insert(key, timer) {
            self.later.try_remove(&earlier);
        }
    }

    fn decide_later(&mut self, key: TargetKey) {
        self.timers.remove(&key);
        if let Some(tracked) = self.targets.get_mut(&key) {
            tracked.note_change(Timestamp::now());
            self.enqueue(key);
        }
    }

    /// Starts as many writes as may be under way, corrections first.
    fn start_writes(&mut self) {
        while self.corrections.len() < MAX_CORRECTIONS
            && let Some(key) = self.due.pop_front()
        {
            self.queued.remove(&key);
            self.decide(key);
        }
        while self.due.is_empty()
            && self.reports.len() < MAX_REPORTS
            && let Some(key) = self.unreported.difference(&self.reporting).next().cloned()
        {
            self.unreported.remove(&key);
            self.start_report(key);
        }
    }

    fn decide(&mut self, key: TargetKey) {
        let now = Timestamp::now();
        let Some(tracked) = self.targets.get(&key) else { return };
        if self.correcting.contains(&key) {
            // Decided again when the write under way has ended.
            return;
        }
        if tracked.failure.as_ref().is_some_and(|failure| failure.retry_at > Instant::now()) {
            // Decided again when the pause has ended.
            return;
        }
        let situation = tracked.situation(self.max_replicas, now);
        let again = situation.again_in();
        let correction = match situation.plan() {
            Plan::Correct(to) => Some(Correction::Scale { to }),
            Plan::Unset => Some(Correction::Unset { count: tracked.count.clone() }),
            Plan::Keep | Plan::Await | Plan::Refuse(_) => None,
        };
        if let Some(again) = again {
            self.decide_in(key.clone(), again.min(LONGEST_SLEEP));
        }
        let Some(correction) = correction else { return };
        self.correcting.insert(key.clone());
        let corrector = self.corrector.clone();
        self.corrections.spawn(async move {
            let done = corrector.write(&key, correction).await;
            (key, done)
        });
    }

    fn corrected(&mut self, key: TargetKey, done: Corrected) {
        self.correcting.remove(&key);
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        match done {
            Corrected::Scaled { to, version } => {
                self.metrics.corrections.inc();
                if let Some(drift) = tracked.note_corrected(to, version, Timestamp::now()) {
                    let took = drift.corrected_at.as_ref().map(|end| end.0.duration_since(drift.at.0));
                    let took = took.unwrap_or_default();
                    self.metrics.correction_seconds.observe(took.as_secs_f64());
                    info!(target = %key, manager = drift.manager, to, took_ms = took.as_millis_f64(), "put back");
                    self.announcements.insert(key.clone(), drift.clone());
                } else {
                    info!(target = %key, to, "scaled");
                }
                self.enqueue(key);
            }
            Corrected::Gone => self.enqueue_if_changed(key),
            Corrected::Failed { error, retry_after } => {
                let attempts = tracked.failure.as_ref().map_or(0, |failure| failure.attempts).saturating_add(1);
                let pause = retry_after.unwrap_or_else(|| correct::pause(attempts));
                warn!(target = %key, error, attempts, pause_ms = pause.as_millis() as u64, "correction failed, trying again");
                self.metrics.correction_failures.inc();
                tracked.failure = Some(Failure { attempts, error, retry_at: Instant::now() + pause });
                self.unreported.insert(key.clone());
                self.decide_in(key, pause);
            }
        }
    }

    /// Nothing to write to any more: the watch tells what comes next, and may have done so during the write.
    fn enqueue_if_changed(&mut self, key: TargetKey) {
        let gone = self.targets.get(&key).is_none_or(|tracked| tracked.target.is_none());
        if gone {
            self.unreported.insert(key);
        } else {
            self.decide_in(key, correct::pause(1));
        }
    }

    fn start_report(&mut self, key: TargetKey) {
        let Some(tracked) = self.targets.get(&key) else {
            self.announcements.remove(&key);
            return;
        };
        let report = Report {
            status: tracked.status_to_store(self.max_replicas, Timestamp::now()),
            drift: self.announcements.remove(&key),
            count: tracked.count.clone(),
            target_uid: tracked.target.as_ref().map(|target| target.uid.clone()).unwrap_or_default(),
        };
        if report.is_empty() {
            return;
        }
        self.reporting.insert(key.clone());
        let reporter = self.reporter.clone();
        self.reports.spawn(async move {
            let done = reporter.write(&key, report).await;
            (key, done)
        });
    }

    fn reported(&mut self, key: TargetKey, done: Reported) {
        self.reporting.remove(&key);
        let Some(tracked) = self.targets.get_mut(&key) else { return };
        match done {
            Reported::Stored(Some(status)) => tracked.note_stored(*status),
            Reported::Stored(None) => {}
            Reported::Failed => {
                // Not at once: a status is late rather than in the way.
                self.decide_in(key, correct::pause(u32::MAX));
            }
        }
    }
}
