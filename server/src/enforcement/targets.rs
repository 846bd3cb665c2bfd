//! The managed targets: what is known and remembered of each, and what was decided about it.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;

use super::{
    announced::Announced,
    assessment::Assessment,
    decision::{Correction, Decision, GiveBack},
    give_back::is_pending,
    memory::{Memory, Record},
    observation::{Now, Observation, Users},
    reconcile::reconcile,
    status::status,
    writes::StatusWrite,
};
use crate::{
    index::{TargetSnapshot, UnreportedState},
    resources::{GroupKind, ReplicaCountState, TargetKey, Uid},
    reviews::Admission,
    telemetry::Metrics,
};

/// One managed target.
#[derive(Debug)]
pub struct ManagedTarget {
    /// Its latest state.
    pub observation: Observation,
    /// What is remembered of it.
    pub memory: Memory,
    /// What its state calls for, by the latest decision.
    pub assessment: Assessment,
    /// The correction to start, by the latest decision.
    pub correct: Option<Correction>,
    /// Whether the status may have changed, by the latest decision.
    pub is_status_due: bool,
    /// The ownership to give back, by the latest decision.
    pub give_back: Option<Box<GiveBack>>,
    /// The Events that were written, if any were.
    pub announced: Option<Box<Announced>>,
    is_counted_as_failing: bool,
}

impl ManagedTarget {
    fn new(observation: Observation, unreported: Vec<UnreportedState>) -> Self {
        let mut memory = Memory::of(&observation);
        memory.replay(&observation, unreported);
        Self {
            observation,
            memory,
            assessment: Assessment::default(),
            correct: None,
            is_status_due: false,
            give_back: None,
            announced: None,
            is_counted_as_failing: false,
        }
    }

    /// The status to write, unless the API server has it already.
    pub fn status_to_write(&self, now: Timestamp) -> Option<StatusWrite> {
        let (count, memory) = (&self.observation.count, &self.memory);
        let is_newer = count.resource_version > memory.stored_version && *count.status != *memory.stored;
        let status = self.is_status_due.then(|| status(&self.observation, memory, self.assessment, now))?;
        // If the object is newer and has another status, somebody else wrote that status. Then the write is sent in any
        // case: the API server refuses it, and the writer reads the status to go on from.
        (is_newer || status != *memory.stored).then(|| StatusWrite {
            status: Arc::new(status),
            uid: count.uid.clone(),
            version: memory.stored_version,
        })
    }

    /// A give-back for a count that is in place. If the owners are right, it changes nothing.
    pub fn look_at_owners(&self) -> Option<Box<GiveBack>> {
        self.give_back_now().map(Box::new).filter(|_| self.assessment == Assessment::InPlace)
    }

    /// The give-back that is left to do when somebody else has ended the management.
    pub fn final_give_back(&self) -> Option<GiveBack> {
        self.give_back_now().filter(|_| is_pending(&self.observation, &self.memory, &self.memory.appliers))
    }

    fn give_back_now(&self) -> Option<GiveBack> {
        GiveBack::of(&self.observation, &self.memory.appliers, Duration::ZERO)
    }

    fn reconcile(&mut self, now: Now) -> Decision {
        let decision = reconcile(&self.observation, &self.memory, now);
        self.memory.record(Record::Decision(&decision, &self.observation), now);
        self.assessment = decision.assessment;
        self.correct = decision.correct.clone();
        self.is_status_due = decision.status;
        self.give_back = decision.give_back.clone().map(Box::new);
        decision
    }
}

/// Whether a state is that of a managed target.
#[derive(Debug)]
pub enum Observed {
    /// It is. With the `ReplicaCount` as it was observed before, if it was.
    Managed(Option<Arc<ReplicaCountState>>),
    /// It is not. With what was known of it, if it was managed until now.
    Unmanaged(Option<Box<ManagedTarget>>),
}

/// All managed targets, counted in metrics.
pub struct ManagedTargets {
    /// Boxed, so that the table is small and grows cheaply.
    targets: HashMap<TargetKey, Box<ManagedTarget>>,
    /// The changes from before this term that no status shows, until each target is observed.
    unreported: BTreeMap<TargetKey, Vec<UnreportedState>>,
    managed: Gauge,
    contested: Gauge,
    failing: Gauge,
}

impl ManagedTargets {
    /// None yet.
    pub fn new(metrics: &Metrics) -> Self {
        let Metrics { managed, contested, failing, .. } = metrics;
        let [managed, contested, failing] = [managed, contested, failing].map(Clone::clone);
        Self { targets: HashMap::new(), unreported: BTreeMap::new(), managed, contested, failing }
    }

    /// Begins a term with the changes that no status shows yet.
    pub fn begin(&mut self, unreported: BTreeMap<TargetKey, Vec<UnreportedState>>) {
        self.unreported = unreported;
    }

    /// Takes in a new state.
    pub fn observe(&mut self, snapshot: TargetSnapshot, max_replicas: i32) -> Observed {
        let TargetSnapshot { key, count, target, kind, autoscaler, at, replaced: _ } = snapshot;
        let Some(count) = count else {
            let known = self.remove(&key);
            return Observed::Unmanaged(known.map(|mut known| {
                known.observation.target = target;
                known
            }));
        };
        let (users, admission, gives_back) = (Users::default(), Some(Admission::Neither), false);
        let observation =
            Observation { count, target, kind, autoscaler, at, max_replicas, gives_back, users, admission };
        match self.targets.get_mut(&key) {
            Some(known) if known.observation.count.uid == observation.count.uid => {
                let (users, admission) = (mem::take(&mut known.observation.users), known.observation.admission);
                let before = mem::replace(&mut known.observation, Observation { users, admission, ..observation });
                Observed::Managed(Some(before.count))
            }
            _ => {
                // Another object of the same name has another past.
                self.remove(&key);
                let target = ManagedTarget::new(observation, self.unreported.remove(&key).unwrap_or_default());
                self.managed.inc();
                self.contested.inc_by(target.memory.contested.is_some().into());
                self.targets.insert(key, Box::new(target));
                Observed::Managed(None)
            }
        }
    }

    fn remove(&mut self, key: &TargetKey) -> Option<Box<ManagedTarget>> {
        let target = self.targets.remove(key)?;
        self.managed.dec();
        self.contested.dec_by(target.memory.contested.is_some().into());
        self.failing.dec_by(target.is_counted_as_failing.into());
        Some(target)
    }

    /// A managed target.
    pub fn get_mut(&mut self, key: &TargetKey) -> Option<&mut ManagedTarget> {
        self.targets.get_mut(key).map(Box::as_mut)
    }

    /// A managed target, to read it.
    pub fn get(&self, key: &TargetKey) -> Option<&ManagedTarget> {
        self.targets.get(key).map(Box::as_ref)
    }

    /// The managed targets.
    pub fn keys(&self) -> impl Iterator<Item = &TargetKey> {
        self.targets.keys()
    }

    /// The managed targets of a kind in a namespace. It looks at all targets, so it is for rare events.
    pub fn keys_in<'a>(&'a self, namespace: &'a str, kind: &'a GroupKind) -> impl Iterator<Item = &'a TargetKey> {
        self.targets.keys().filter(move |key| *key.namespace == *namespace && key.kind == *kind)
    }

    /// The managed target that a write was for; `None` if it has another `ReplicaCount` by now, or none.
    pub fn answered(&mut self, key: &TargetKey, uid: &Uid) -> Option<&mut ManagedTarget> {
        self.get_mut(key).filter(|target| target.observation.count.uid == *uid)
    }

    /// Like [`Self::reconcile`], after a timer. The caller has observed all waiting events, so the latest state is
    /// current.
    pub fn reconcile_in_time(&mut self, key: &TargetKey, now: Now) -> Option<Decision> {
        self.targets.get_mut(key)?.observation.at = now.wall;
        self.reconcile(key, now)
    }

    /// Decides about a target, and remembers the decision; `None` if it is not managed.
    pub fn reconcile(&mut self, key: &TargetKey, now: Now) -> Option<Decision> {
        let target = self.targets.get_mut(key)?;
        let was_contested = target.memory.contested.is_some();
        let decision = target.reconcile(now);
        let is_failing = target.memory.is_failing;
        let was_failing = mem::replace(&mut target.is_counted_as_failing, is_failing);
        self.failing.inc_by(i64::from(is_failing) - i64::from(was_failing));
        self.contested.inc_by(i64::from(decision.contested.is_some()) - i64::from(was_contested));
        Some(decision)
    }

    /// Forgets all targets and sets the gauges to 0: only the leader counts them.
    pub fn clear(&mut self) {
        self.targets.clear();
        self.unreported.clear();
        self.managed.set(0);
        self.contested.set(0);
        self.failing.set(0);
    }
}

#[cfg(test)]
mod tests;
