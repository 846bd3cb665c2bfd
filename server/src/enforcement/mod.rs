//! Keeps every managed target at its desired count.
//!
//! One task hears every event of a managed target in order ([`crate::index`]) and decides at once ([`plan`]). Writes run
//! beside it: corrections first, then what reports on them ([`report`]), so that neither a slow write nor a flood of
//! drifts delays the next decision, and a target in trouble delays only itself.
//!
//! All of it happens while this replica leads ([`crate::leader`]), and begins anew with each term.

mod conditions;
mod contention;
mod correct;
mod fence;
#[cfg(test)]
mod fuzz;
mod history;
mod ownership;
mod plan;
mod report;
mod schedule;
mod start;
mod tracked;
mod turns;
pub mod writes;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use kube::Client;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::{self, JoinError, JoinSet},
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    contention::ContestedTargets,
    correct::Corrected,
    ownership::{GivenBack, Ownership},
    report::{PendingEvents, Reported},
    schedule::Schedule,
    tracked::ManagedTarget,
    turns::Turns,
};
use crate::{
    index::{Index, TargetSnapshot, now},
    leader::{Leadership, Term},
    resources::TargetKey,
    telemetry::{Actor, Metrics},
};

/// How many corrections are under way at the API server's own pace.
const MAX_CORRECTIONS: usize = 64;

/// When a correction no longer counts among those: something hangs, such as a webhook, and must not delay the others.
const SLOW: Duration = Duration::from_secs(1);

/// How many corrections are under way altogether, each with a connection of its own.
const MAX_CONNECTIONS: usize = 512;

/// While more corrections than these are under way that are not slow, reports and ownership are held back. So few are
/// felt by nobody, and a cluster in which counts drift now and then is told of at once.
const FEW_CORRECTIONS: usize = 8;

/// How long one is held back, at most: then it is its turn, one at a time, so that nothing waits for ever under drifts
/// without end.
const HELD_BACK: Duration = Duration::from_secs(60);

/// How many status and Event writes are under way at once.
const MAX_REPORTS: usize = 8;

/// How many patches of ownership are under way at once, apart from the reports: they pass other people's webhooks.
const MAX_GIVE_BACKS: usize = 8;

/// How long the last writes may take when the server stops; another replica starts only after that.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// What becomes of the ownership of a corrected count, as server-side apply tracks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum OwnershipMode {
    /// It goes back to those who apply the count, so that their next apply of another count meets no conflict
    GiveBack,
    /// It stays with this server, so that such an apply meets a conflict
    Keep,
}

/// What the controller works with.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What becomes of the ownership of a corrected count.
    pub ownership: OwnershipMode,
    /// The largest count that is enforced, in replicas.
    pub max_replicas: i32,
    /// Where drifts and corrections are counted.
    pub metrics: Arc<Metrics>,
}

/// Runs until the token is cancelled, whenever this replica leads and the cache has synced. With its end, all writes have
/// ended.
pub async fn run(context: Context, index: Arc<Index>, mut leadership: Leadership, stop: CancellationToken) {
    loop {
        let begins = async {
            index.synced().await;
            leadership.begins().await
        };
        let Some(term) = stop.run_until_cancelled(begins).await else { return };
        let mut controller = Controller::new(context.clone(), term.clone());
        let done = controller.lead(&index, &stop).await;
        controller.give_up().await;
        if stop.is_cancelled() || matches!(done, Some(Err(_))) {
            return;
        }
    }
}

/// A target whose correction has become slow, and its task.
type SlowCorrection = (TargetKey, task::Id);

struct Controller {
    /// Outside of it, nothing is written.
    term: Term,
    corrector: correct::Corrector,
    reporter: report::Reporter,
    metrics: Arc<Metrics>,
    max_replicas: i32,
    /// What gives ownership back, if that is to be done.
    ownership: Option<Ownership>,
    /// Boxed, so that the table is small and grows cheaply.
    targets: HashMap<TargetKey, Box<ManagedTarget>>,
    schedule: Schedule,
    corrections: JoinSet<(TargetKey, Corrected)>,
    /// Targets that a correction is under way for, and its task: the next one waits, so that writes to one target keep
    /// their order.
    correcting: HashMap<TargetKey, task::Id>,
    /// Those of them whose correction is slow, and where it says so.
    slow: BTreeSet<TargetKey>,
    slowed: (UnboundedSender<SlowCorrection>, UnboundedReceiver<SlowCorrection>),
    reports: JoinSet<(TargetKey, Reported)>,
    give_backs: JoinSet<(TargetKey, GivenBack)>,
    /// Targets whose owners may not be as they should.
    unsettled: Turns,
    settling: BTreeSet<TargetKey>,
    /// Targets that others fight over.
    contested: ContestedTargets,
    /// Targets whose status may have changed.
    unreported: Turns,
    reporting: BTreeSet<TargetKey>,
    news: HashMap<TargetKey, PendingEvents>,
}

impl Controller {
    fn new(context: Context, term: Term) -> Self {
        let ownership = Ownership::new(context.client.clone(), context.metrics.clone());
        Self {
            term,
            corrector: correct::Corrector::new(context.client.clone()),
            reporter: report::Reporter::new(context.client),
            schedule: Schedule::told_by(context.metrics.queue.clone()),
            contested: ContestedTargets::told_by(context.metrics.contested.clone()),
            metrics: context.metrics,
            max_replicas: context.max_replicas,
            ownership: Some(ownership).filter(|_| context.ownership == OwnershipMode::GiveBack),
            targets: HashMap::new(),
            corrections: JoinSet::new(),
            correcting: HashMap::new(),
            slow: BTreeSet::new(),
            slowed: mpsc::unbounded_channel(),
            reports: JoinSet::new(),
            give_backs: JoinSet::new(),
            unsettled: Turns::default(),
            settling: BTreeSet::new(),
            unreported: Turns::default(),
            reporting: BTreeSet::new(),
            news: HashMap::new(),
        }
    }

    /// Compares all that is managed, and follows it until the token is cancelled; `None` if the term is over before.
    ///
    /// # Errors
    ///
    /// When a write panicked: what it was for is not known, so the process is better restarted.
    async fn lead(&mut self, index: &Index, stop: &CancellationToken) -> Option<Result<(), JoinError>> {
        let (snapshot, events) = index.attach_enforcement();
        info!(managed = snapshot.len(), "enforcing");
        // One after the other, so that what there is nothing to do about does not queue up.
        let events = stream::iter(snapshot).chain(UnboundedReceiverStream::new(events));
        let term = self.term.clone();
        let lead = async {
            self.follow(events, stop).await?;
            // What has happened is told before the end; what was not put in place, the next leader does.
            let _ = timeout(LAST_REPORTS, self.finish()).await;
            Ok(())
        };
        term.run(lead).await
    }

    /// Cancels the writes that are under way, and waits until none is.
    async fn give_up(&mut self) {
        self.corrections.shutdown().await;
        self.reports.shutdown().await;
        self.give_backs.shutdown().await;
        // Whoever leads counts these.
        self.metrics.managed.set(0);
        self.contested.clear();
        self.schedule.clear();
    }

    async fn follow(
        &mut self,
        mut events: impl Stream<Item = TargetSnapshot> + Unpin,
        stop: &CancellationToken,
    ) -> Result<(), JoinError> {
        loop {
            self.start_writes();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(seen) = events.next() => self.observe(seen),
                Some(slowed) = self.slowed.1.recv() => self.slowed(slowed),
                Some(done) = self.corrections.join_next() => self.corrected(done?),
                Some(done) = self.reports.join_next() => self.reported(done?),
                Some(done) = self.give_backs.join_next() => self.given_back(done?),
                key = self.schedule.rings() => self.decide_later(key),
            }
        }
    }

    /// Waits for the corrections that are under way, and tells of them and of what else there is to tell.
    async fn finish(&mut self) {
        loop {
            self.schedule.clear();
            self.start_reports();
            let (corrections, reports) = (!self.corrections.is_empty(), !self.reports.is_empty());
            tokio::select! {
                Some(Ok(done)) = self.corrections.join_next(), if corrections => self.corrected(done),
                Some(Ok(done)) = self.reports.join_next(), if reports => self.reported(done),
                Some(slowed) = self.slowed.1.recv(), if corrections => self.slowed(slowed),
                else => break,
            }
        }
    }

    fn observe(&mut self, seen: TargetSnapshot) {
        let key = seen.key.clone();
        let Some(count) = seen.count.clone() else {
            self.targets.remove(&key);
            self.contested.note(&key, false);
            self.metrics.managed.set(self.targets.len() as i64);
            return;
        };
        let fresh = self.targets.get(&key).is_none_or(|managed| managed.count.uid != count.uid);
        if fresh {
            self.targets.insert(key.clone(), Box::new(ManagedTarget::new(count.clone(), self.max_replicas)));
            self.metrics.managed.set(self.targets.len() as i64);
        }
        let Some(managed) = self.targets.get_mut(&key) else { return };
        if let Some(drift) = managed.observe(count, seen) {
            self.metrics.drifted(Actor::of(&drift.manager, &drift.subresource));
            info!(target = %key, manager = drift.manager, operation = drift.operation, subresource = drift.subresource,
                from = drift.from, to = drift.to, "drift");
        }
        self.tell_of_the_end(&key);
        self.tell_of_a_contest(&key);
        self.enqueue(key);
    }

    /// Announces the fight that has begun, if one has.
    fn tell_of_a_contest(&mut self, key: &TargetKey) {
        let Some(managed) = self.targets.get_mut(key) else { return };
        let contest = managed.contest_to_tell(now());
        self.contested.note(key, managed.is_contested());
        let Some(contest) = contest else { return };
        let (reason, problem) = &contest;
        warn!(target = %key, reason, problem, "contested");
        self.news.entry(key.clone()).or_default().contest = Some(contest);
    }

    /// Counts and announces the drift that has ended, if one has.
    fn tell_of_the_end(&mut self, key: &TargetKey) {
        let Some(managed) = self.targets.get_mut(key) else { return };
        let Some(drift) = managed.history.take_ended() else { return };
        let took = drift.corrected_at.as_ref().map(|end| end.0.duration_since(drift.at.0)).unwrap_or_default();
        self.metrics.correction_seconds.observe(took.as_secs_f64());
        info!(target = %key, manager = drift.manager, from = drift.to, to = managed.count.spec.desired(now()),
            took_ms = took.as_millis_f64(), "put back");
        self.news.entry(key.clone()).or_default().drift = Some(drift);
    }

    fn enqueue(&mut self, key: TargetKey) {
        self.unreported.add(key.clone());
        self.unsettled.add(key.clone());
        self.schedule.now(key);
    }

    fn decide_later(&mut self, key: TargetKey) {
        if let Some(managed) = self.targets.get_mut(&key) {
            managed.note_change(now());
            self.tell_of_a_contest(&key);
            self.enqueue(key);
        }
    }
}
