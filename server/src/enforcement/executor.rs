//! Does what was decided: observes, reconciles, queues, writes ([`dispatch`]), and takes in the answers.
//!
//! One task does all of this. Writes run beside it, corrections first, so that neither a slow write nor a flood of
//! drifts delays the next decision, and a target in trouble delays only itself.

mod admission;
mod dispatch;
mod ending;
mod ownership;
mod report;
mod webhooks;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, unconstrained},
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    admission::Admissions,
    context::{Context, OwnershipMode},
    decision::{Decision, PendingEvents},
    give_back::FinalGiveBack,
    lane::Lane,
    observation::Now,
    pace::{CORRECTIONS, OTHERS, PROBES, SLOW, SLOW_PROBE, UNBOUNDED},
    targets::{ManagedTarget, ManagedTargets, Observed},
    workqueue::WorkQueue,
    writes::{
        AdmissionProbe, Announcer, CorrectionAnswer, Corrector, EventWrite, OwnershipAnswer, OwnershipPatcher,
        ProbeAnswer, Regarding, StatusAnswer, StatusWriter,
    },
};
use crate::{
    index::{Index, TargetSnapshot},
    leader::{Leadership, Term},
    resources::{TargetKey, Uid},
    reviews::{Admission, AdmissionMode, Reviews, TargetAttempt, UserNames},
    telemetry::{FailureLog, Metrics},
};

/// How long the last writes may take when the server stops. Another replica starts only after that.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// The most events that are observed before writes are started again, while a timer is due.
const STATES_AT_ONCE: usize = 64;

/// Enforces whenever this replica leads and the index has synced, until the token is cancelled or a write panics: then
/// the process should restart. All writes have ended when it returns.
///
/// `attempts` brings the changes that admission has prevented. It is closed if there is no admission.
pub async fn run(
    context: Context,
    index: Arc<Index>,
    mut leadership: Leadership,
    mut attempts: mpsc::Receiver<TargetAttempt>,
    stop: CancellationToken,
) {
    loop {
        let begins = async {
            index.synced().await;
            leadership.begins().await
        };
        let Some(term) = stop.run_until_cancelled(begins).await else { return };
        let mut executor = Executor::new(&context, term.clone());
        let ended = executor.lead(&index, &mut attempts, &stop).await;
        executor.give_up().await;
        if stop.is_cancelled() || matches!(ended, Some(Err(_))) {
            return;
        }
    }
}

/// An answer, and the UID of the `ReplicaCount` that the write was made for. By the time of the answer, another
/// `ReplicaCount` may have the name.
type Answered<T> = (Uid, T);

struct Executor {
    /// Nothing is written outside of it.
    term: Term,
    max_replicas: i32,
    metrics: Arc<Metrics>,
    targets: ManagedTargets,
    /// The targets to decide about again although nothing happened.
    requeues: WorkQueue<()>,
    corrections: WorkQueue<Answered<CorrectionAnswer>>,
    corrector: Corrector,
    /// The targets whose status may have changed.
    statuses: WorkQueue<Answered<StatusAnswer>>,
    /// The targets that have Events to write. The answer is whether all were written.
    announcements: WorkQueue<bool>,
    events: HashMap<TargetKey, (Regarding, PendingEvents)>,
    /// The Events about the end of the management of targets.
    ends: HashMap<TargetKey, (Regarding, Vec<EventWrite>)>,
    /// The targets whose management has ended while their count was being written. Its answer decides what the Event says.
    unanswered_ends: HashMap<TargetKey, ManagedTarget>,
    announcer: Announcer,
    status_writer: StatusWriter,
    /// The targets whose owners may be wrong.
    ownership: WorkQueue<Answered<OwnershipAnswer>>,
    /// `None` if this server keeps the ownership of what it corrects.
    ownership_patcher: Option<OwnershipPatcher>,
    /// The give-backs to targets that are not managed any more.
    final_give_backs: HashMap<TargetKey, FinalGiveBack>,
    failures: FailureLog,
    /// Whether a give-back of this term has started: it probes the fence.
    is_fence_probed: bool,
    admission_mode: AdmissionMode,
    admission_users: UserNames,
    reviews: Arc<Reviews>,
    /// What the webhooks can do at most.
    configured: watch::Receiver<Admission>,
    admissions: Admissions,
    probe: AdmissionProbe,
    /// The namespaces and kinds whose webhooks are to be probed, as keys without a name.
    probes: WorkQueue<ProbeAnswer>,
}

impl Executor {
    fn new(context: &Context, term: Term) -> Self {
        let Context { client, ownership, max_replicas, metrics, admission_mode, admission_users, reviews } =
            context.clone();
        let patcher = OwnershipPatcher::new(client.clone(), metrics.clone());
        Self {
            term,
            max_replicas,
            targets: ManagedTargets::new(&metrics),
            metrics,
            requeues: WorkQueue::new(SLOW, UNBOUNDED),
            corrections: WorkQueue::new(SLOW, CORRECTIONS),
            corrector: Corrector::new(client.clone()),
            statuses: WorkQueue::new(SLOW, OTHERS),
            announcements: WorkQueue::new(SLOW, OTHERS),
            events: HashMap::new(),
            ends: HashMap::new(),
            unanswered_ends: HashMap::new(),
            announcer: Announcer::new(client.clone()),
            status_writer: StatusWriter::new(client.clone()),
            ownership: WorkQueue::new(SLOW, OTHERS),
            ownership_patcher: Some(patcher).filter(|_| ownership == OwnershipMode::GiveBack),
            final_give_backs: HashMap::new(),
            failures: FailureLog::default(),
            is_fence_probed: false,
            admission_mode,
            admission_users,
            probe: AdmissionProbe::new(client, admission_mode, reviews.clone()),
            configured: reviews.configured(),
            reviews,
            admissions: Admissions::new(admission_mode),
            probes: WorkQueue::new(SLOW_PROBE, PROBES),
        }
    }

    /// Enforces until the token is cancelled; `None` if the term ends before.
    ///
    /// # Errors
    ///
    /// When a write panicked. Its target is unknown then, so the process is better restarted.
    async fn lead(
        &mut self,
        index: &Index,
        attempts: &mut mpsc::Receiver<TargetAttempt>,
        stop: &CancellationToken,
    ) -> Option<Result<(), JoinError>> {
        self.take_configured();
        // While another replica led, this one saw no targets come and go.
        self.reviews.forget_creations();
        let (snapshot, events) = index.attach_enforcement();
        self.targets.begin(index.unreported());
        info!(managed = snapshot.len(), "enforcing");
        // Snapshots are decided about one by one, so that only targets that need a write enter a queue.
        let events = stream::iter(snapshot).chain(UnboundedReceiverStream::new(events));
        let term = self.term.clone();
        let lead = async {
            self.follow(events, attempts, stop).await?;
            self.report_last_attempts(attempts);
            let _ = timeout(LAST_WRITES, self.finish()).await;
            Ok(())
        };
        term.run(lead).await
    }

    async fn follow(
        &mut self,
        mut events: impl Stream<Item = TargetSnapshot> + Unpin,
        attempts: &mut mpsc::Receiver<TargetAttempt>,
        stop: &CancellationToken,
    ) -> Result<(), JoinError> {
        loop {
            self.reconcile_due(&mut events);
            self.start_writes();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(snapshot) = events.next() => self.observe(snapshot),
                ended = self.corrections.next() => if let Some(ended) = ended {
                    self.take_correction(ended?);
                },
                ended = self.statuses.next() => if let Some(ended) = ended {
                    self.take_status(ended?);
                },
                ended = self.announcements.next() => if let Some(ended) = ended {
                    self.take_announcement(ended?);
                },
                ended = self.ownership.next() => if let Some(ended) = ended {
                    self.take_ownership(ended?);
                },
                ended = self.probes.next() => if let Some(ended) = ended {
                    self.take_probe(ended?);
                },
                Some(attempt) = attempts.recv() => self.take_attempt(attempt),
                Ok(()) = self.configured.changed() => self.take_configured(),
                _ = self.requeues.next() => {}
                more = self.failures.left_out() => {
                    warn!(more, "further writes failed: lines about them were left out");
                }
            }
        }
    }

    /// Decides about the targets whose timer has fired. It first observes all waiting events, so that no timer decides
    /// by an old state.
    fn reconcile_due(&mut self, events: &mut (impl Stream<Item = TargetSnapshot> + Unpin)) {
        if self.requeues.len() == 0 {
            return;
        }
        for _ in 0..STATES_AT_ONCE {
            let Some(Some(snapshot)) = unconstrained(events.next()).now_or_never() else {
                while let Some((key, _)) = self.requeues.take(|_| true) {
                    let now = Now::read();
                    self.observe_rights(&key);
                    let decision = self.targets.reconcile_in_time(&key, now);
                    self.follow_up(key, decision);
                }
                return;
            };
            self.observe(snapshot);
        }
    }

    fn observe(&mut self, snapshot: TargetSnapshot) {
        let (key, replaced) = (snapshot.key.clone(), snapshot.replaced);
        match self.targets.observe(snapshot, self.max_replicas) {
            Observed::Managed(before) => {
                self.observe_admission(&key, replaced, before.as_deref());
                self.reconcile(key, Now::read());
            }
            Observed::Unmanaged(Some(known)) => {
                self.queue_final_give_back(&key, &known);
                self.announce_end(key, *known);
            }
            Observed::Unmanaged(None) => {}
        }
    }

    /// Decides about a target once, and queues what follows.
    fn reconcile(&mut self, key: TargetKey, now: Now) {
        self.observe_rights(&key);
        let decision = self.targets.reconcile(&key, now);
        self.follow_up(key, decision);
    }

    fn follow_up(&mut self, key: TargetKey, decision: Option<Decision>) {
        self.queue_give_back(&key);
        let (Some(decision), Some(target)) = (decision, self.targets.get_mut(&key)) else { return };
        let memory = &target.memory;
        if decision.correct.is_some() {
            self.corrections.add(key.clone(), memory.correction_lane());
        }
        if let Some(after) = decision.requeue_after {
            self.requeues.add_after(key.clone(), Lane::Healthy, after);
        }
        if decision.status {
            self.statuses.add(key.clone(), memory.status_lane());
        }
        let regarding = (!decision.events.is_empty()).then(|| Regarding::of(&key, &target.observation));
        if regarding.is_some() {
            let is_failing = target.announced.as_ref().is_some_and(|announced| announced.is_failing);
            self.announcements.add(key.clone(), Lane::of(is_failing));
        }
        self.report(&key, &decision);
        if let Some(regarding) = regarding {
            self.add_events(key, regarding, decision.events);
        }
    }
}

#[cfg(test)]
mod tests;
