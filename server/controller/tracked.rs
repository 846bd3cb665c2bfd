//! What the controller remembers of one managed target: its states so far, and the history that its status tells.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};

use tokio::time::Instant;

use super::plan::{Plan, Situation, drift_from};
use crate::{
    api::{Change, Drift, Drifter, ReplicaCount, ReplicaCountStatus, TargetState},
    cache::Seen,
};

/// How many actors the status names.
const MAX_DRIFTERS: usize = 5;

/// How many changes of the desired count the status names.
const MAX_CHANGES: usize = 10;

/// One managed target.
#[derive(Debug)]
pub struct Tracked {
    /// The latest `ReplicaCount`.
    pub count: Arc<ReplicaCount>,
    /// The latest state of the target.
    pub target: Option<TargetState>,
    /// The resource version of our latest correction.
    pub corrected_version: u64,
    /// The failed writes since the last one that succeeded.
    pub failure: Option<Failure>,
    desired: Option<i32>,
    before: Option<i32>,
    drifts: i64,
    last_drift: Option<Drift>,
    drifters: Vec<Drifter>,
    changes: Vec<Change>,
    stored: ReplicaCountStatus,
}

/// Writes that failed in a row.
#[derive(Debug)]
pub struct Failure {
    /// How many there were.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
    /// When to try again; events do not make it sooner.
    pub retry_at: Instant,
}

impl Tracked {
    /// Takes up a target where its status says that it was left.
    pub fn new(count: Arc<ReplicaCount>) -> Self {
        let stored = count.status_or_default();
        Self {
            target: None,
            corrected_version: 0,
            failure: None,
            desired: stored.desired,
            before: stored.observed,
            drifts: stored.drifts,
            last_drift: stored.last_drift.clone(),
            drifters: stored.drifters.clone(),
            changes: stored.changes.clone(),
            stored,
            count,
        }
    }

    /// Takes in a new state and tells of the drift that it is, if it is one.
    pub fn observe(&mut self, count: Arc<ReplicaCount>, seen: Seen, now: Timestamp) -> Option<&Drift> {
        if count.resource_version_number() > self.count.resource_version_number() {
            self.stored = count.status_or_default();
        }
        self.count = count;
        self.note_change(now);
        self.target = seen.target;
        let (target, desired) = (self.target.as_ref()?, self.desired?);
        let from = drift_from(self.before, target, desired);
        self.before = target.replicas;
        match (from, target.replicas) {
            (Some(from), Some(to)) => Some(self.note_drift(from, to, now)),
            _ => {
                self.note_in_place(now);
                None
            }
        }
    }

    /// Records that the desired count is another than before, also when only time has passed.
    pub fn note_change(&mut self, now: Timestamp) {
        let desired = self.count.spec.desired(now);
        if desired == self.desired {
            return;
        }
        if let Some(to) = desired {
            let by_time = self.count.metadata.generation == self.stored.observed_generation;
            let reason = match self.count.spec.active_override(now) {
                _ if by_time => "the override ended".to_owned(),
                Some(over) => over.reason.clone(),
                None => self.count.spec.reason.clone(),
            };
            let by = if by_time { String::new() } else { self.count.set_by() };
            self.changes.insert(0, Change { from: self.desired, to, by, reason, at: MicroTime(now) });
            self.changes.truncate(MAX_CHANGES);
        }
        self.desired = desired;
    }

    /// Records that the desired count is back in place.
    pub fn note_in_place(&mut self, now: Timestamp) {
        let in_place = self.before == self.desired;
        if let Some(drift) = self.last_drift.as_mut().filter(|drift| in_place && drift.corrected_at.is_none()) {
            drift.corrected_at = Some(MicroTime(now));
        }
    }

    /// Records a correction that the API server has stored, and tells of the drift that it ended, if it ended one.
    pub fn note_corrected(&mut self, to: i32, version: u64, now: Timestamp) -> Option<&Drift> {
        self.corrected_version = version;
        self.failure = None;
        let drift =
            self.last_drift.as_mut().filter(|drift| drift.corrected_at.is_none() && self.desired == Some(to))?;
        drift.corrected_at = Some(MicroTime(now));
        Some(drift)
    }

    /// The situation to decide on.
    pub fn situation(&self, max_replicas: i32, now: Timestamp) -> Situation<'_> {
        Situation {
            spec: &self.count.spec,
            target: self.target.as_ref(),
            max_replicas,
            corrected_version: self.corrected_version,
            now,
        }
    }

    /// The status to store, unless that is what is stored.
    pub fn status_to_store(&self, max_replicas: i32, now: Timestamp) -> Option<ReplicaCountStatus> {
        let status = self.status(max_replicas, now);
        (status != self.stored).then_some(status)
    }

    /// Records what the API server has stored.
    pub fn note_stored(&mut self, status: ReplicaCountStatus) {
        self.stored = status;
    }

    fn note_drift(&mut self, from: i32, to: i32, now: Timestamp) -> &Drift {
        let writer = self.target.as_ref().and_then(|target| target.writer.as_ref());
        let manager = writer.map_or("unknown", |writer| &writer.manager).to_owned();
        self.drifts += 1;
        let known = self.drifters.iter().position(|drifter| drifter.manager == manager);
        let count = known.map_or(0, |index| self.drifters.remove(index).count) + 1;
        self.drifters.insert(0, Drifter { manager: manager.clone(), count, from, to, last: MicroTime(now) });
        self.drifters.truncate(MAX_DRIFTERS);
        self.last_drift.insert(Drift {
            manager,
            operation: writer.map(|writer| writer.operation.to_string()).unwrap_or_default(),
            subresource: writer.filter(|writer| writer.scale).map(|_| "scale".to_owned()).unwrap_or_default(),
            from,
            to,
            at: MicroTime(now),
            corrected_at: None,
        })
    }

    fn status(&self, max_replicas: i32, now: Timestamp) -> ReplicaCountStatus {
        let observed = self.target.as_ref().and_then(|target| target.replicas);
        let ready = self.target.as_ref().and_then(|target| target.ready);
        let [ready_condition, found_condition] = self.conditions(max_replicas, now);
        ReplicaCountStatus {
            observed_generation: self.count.metadata.generation,
            desired: self.desired,
            observed,
            ready,
            drifts: self.drifts,
            last_drift: self.last_drift.clone(),
            appliers: self.stored.appliers.clone(),
            drifters: self.drifters.clone(),
            changes: self.changes.clone(),
            conditions: vec![ready_condition, found_condition],
        }
    }

    fn conditions(&self, max_replicas: i32, now: Timestamp) -> [Condition; 2] {
        let target = self.target.as_ref();
        let (ready, reason, message) = match self.situation(max_replicas, now).plan() {
            Plan::Refuse(count) => (
                false,
                "AboveMaximum",
                format!("{count} replicas are above the server's maximum of {max_replicas}: not enforced"),
            ),
            Plan::Unset => (false, "OverrideEnded", "the override has ended, and the management with it".to_owned()),
            Plan::Await if target.is_none() => {
                (false, "TargetNotFound", "there is no such target: the count holds once it appears".to_owned())
            }
            Plan::Await => (false, "TargetTerminating", "the target is being deleted".to_owned()),
            Plan::Correct(_) => match &self.failure {
                Some(failure) => (false, "CorrectionFailed", failure.error.clone()),
                None => (false, "Correcting", "the count is being put in place".to_owned()),
            },
            Plan::Keep => match target.and_then(|target| target.ready) {
                Some(ready) if Some(ready) != self.desired => {
                    (false, "ReplicasNotReady", format!("{ready} of {} replicas are ready", self.desired.unwrap_or(0)))
                }
                _ => (true, "InPlace", String::new()),
            },
        };
        let (found_reason, found_message) = match target {
            Some(_) => ("Found", ""),
            None => ("NotFound", "there is no such target"),
        };
        [
            self.condition("Ready", ready, reason, &message, now),
            self.condition("TargetFound", target.is_some(), found_reason, found_message, now),
        ]
    }

    /// Keeps the time of the last transition while the status is the same, as metav1.Condition asks.
    fn condition(&self, type_: &str, holds: bool, reason: &str, message: &str, now: Timestamp) -> Condition {
        let status = if holds { "True" } else { "False" };
        let since = self
            .stored
            .conditions
            .iter()
            .find(|stored| stored.type_ == type_ && stored.status == status)
            .map_or(Time(now), |stored| stored.last_transition_time.clone());
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: since,
            observed_generation: self.count.metadata.generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{Target, TargetKey};

    const MAX: i32 = 100;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn count(version: u64, spec: Value, status: &Value) -> Arc<ReplicaCount> {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let mut object = json!({
            "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
            "metadata": {
                "name": "deployment.web", "namespace": "shop", "resourceVersion": version.to_string(),
                "generation": version, "annotations": {"replica-count-manager.io/set-by": "alice"},
                "managedFields": [{"manager": "replica-count-manager", "operation": "Update",
                                   "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
            },
            "spec": spec, "status": status,
        });
        object["spec"]["scaleTargetRef"] = target;
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn replicas(version: u64, replicas: i32) -> Arc<ReplicaCount> {
        count(version, json!({"replicas": replicas}), &Value::Null)
    }

    fn seen(target: Option<(u64, i32, &str)>) -> Seen {
        let target = target.map(|(version, replicas, manager)| {
            let object = json!({
                "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string(),
                    "managedFields": [{"manager": manager, "operation": "Update", "subresource": "scale",
                                       "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
                "spec": {"replicas": replicas}, "status": {"readyReplicas": replicas},
            });
            serde_json::from_value::<Target>(object).unwrap().state
        });
        Seen { key: TargetKey::new("shop", "", "", "web").unwrap(), count: None, target }
    }

    fn ready(tracked: &Tracked) -> String {
        tracked.status(MAX, at(0)).conditions[0].reason.clone()
    }

    #[test]
    fn a_drift_is_told_from_the_start_of_the_management_and_from_our_own_writes() {
        let count = replicas(1, 3);
        let mut tracked = Tracked::new(count.clone());
        // Management starts with another count: nobody changed it.
        assert!(tracked.observe(count.clone(), seen(Some((10, 2, "helm"))), at(0)).is_none());
        assert_eq!(ready(&tracked), "Correcting");
        assert!(tracked.note_corrected(3, 11, at(1)).is_none());
        assert!(tracked.observe(count.clone(), seen(Some((11, 3, "replica-count-manager"))), at(1)).is_none());
        assert_eq!(ready(&tracked), "InPlace");
        let drift = tracked.observe(count.clone(), seen(Some((12, 7, "kubectl"))), at(2)).unwrap().clone();
        assert_eq!((drift.manager.as_str(), drift.from, drift.to, drift.corrected_at), ("kubectl", 3, 7, None));
        // Another event of the same state is not another drift.
        assert!(tracked.observe(count.clone(), seen(Some((13, 7, "kubectl"))), at(3)).is_none());
        let corrected = tracked.note_corrected(3, 14, at(4)).unwrap();
        assert_eq!(corrected.corrected_at, Some(MicroTime(at(4))));
        // A late write of ours is corrected, and is nobody's drift.
        assert!(tracked.observe(count, seen(Some((15, 4, "replica-count-manager"))), at(5)).is_none());
        assert_eq!(tracked.status(MAX, at(5)).drifts, 1);
    }

    #[test]
    fn the_status_names_the_latest_five_actors_and_ten_changes() {
        let mut tracked = Tracked::new(replicas(1, 0));
        for step in 1..=12 {
            let count = replicas(step, i32::try_from(step).unwrap());
            let manager = format!("manager-{}", step % 7);
            tracked.observe(count.clone(), seen(Some((2 * step, 50, &manager))), at(0));
            tracked.observe(count, seen(Some((2 * step + 1, 60, &manager))), at(0));
        }
        let status = tracked.status(MAX, at(0));
        let managers: Vec<_> = status.drifters.iter().map(|drifter| drifter.manager.as_str()).collect();
        assert_eq!(managers, ["manager-5", "manager-4", "manager-3", "manager-2", "manager-1"]);
        let changes: Vec<_> = status.changes.iter().map(|change| (change.from, change.to)).collect();
        assert_eq!(changes[..2], [(Some(11), 12), (Some(10), 11)]);
        assert_eq!((changes.len(), status.changes[0].by.as_str()), (10, "alice"));
    }

    #[test]
    fn a_server_that_starts_again_goes_on_where_the_status_says() {
        let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 4, "conditions": []});
        let count = count(1, json!({"replicas": 3}), &status);
        let mut tracked = Tracked::new(count.clone());
        let drift = tracked.observe(count, seen(Some((20, 8, "helm"))), at(0)).unwrap();
        assert_eq!((drift.from, drift.to), (3, 8));
        let status = tracked.status(MAX, at(0));
        assert_eq!((status.drifts, status.changes), (5, vec![]));
    }

    #[test]
    fn a_status_is_stored_once() {
        let count = replicas(1, 3);
        let mut tracked = Tracked::new(count.clone());
        tracked.observe(count, seen(Some((10, 3, "kubectl"))), at(0));
        let status = tracked.status_to_store(MAX, at(0)).unwrap();
        tracked.note_stored(status);
        assert_eq!(tracked.status_to_store(MAX, at(60)), None, "the time alone changes nothing");
    }

    #[test]
    fn the_end_of_an_override_is_a_change_by_nobody() {
        let over = json!({"replicas": 9, "until": at(10).to_string(), "reason": "sale"});
        let status = json!({"observedGeneration": 1, "desired": 9, "conditions": []});
        let count = count(1, json!({"replicas": 3, "override": over}), &status);
        let mut tracked = Tracked::new(count);
        tracked.note_change(at(10));
        let change = &tracked.status(MAX, at(10)).changes[0];
        assert_eq!((change.from, change.to, change.by.as_str()), (Some(9), 3, ""));
        assert_eq!(change.reason, "the override ended");
    }
}
