//! What the controller remembers of one managed target: its latest states, and what is under way for it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    contest::{AUTOSCALED, CONTESTED, Contest, REPEATED_DRIFT},
    history::History,
    ownership::{Appliers, GiveBack, GivenBack},
    plan::{Plan, Situation, drift_from},
};
use crate::{
    api::{Drift, ReplicaCount, ReplicaCountStatus, TargetState},
    cache::{KindState, Seen},
};

/// The first pause after giving back has failed; it doubles.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(1);

/// The longest: whatever refuses it may do so for good.
const GIVE_BACK_PAUSE_MAX: Duration = Duration::from_secs(5 * 60);

/// One managed target.
#[derive(Debug)]
pub struct Tracked {
    /// The latest `ReplicaCount`.
    pub count: Arc<ReplicaCount>,
    /// The latest state of the target.
    pub target: Option<TargetState>,
    /// The failed writes since the last one that succeeded.
    pub failure: Option<Failure>,
    /// What is known of its past.
    pub history: History,
    /// Who fights over its count.
    pub contest: Contest,
    /// Whether its kind is watched.
    pub(super) kind: KindState,
    /// The autoscaler that scales it.
    pub(super) autoscaler: Option<Arc<str>>,
    pub(super) appliers: Appliers,
    pub(super) max_replicas: i32,
    pub(super) desired: Option<i32>,
    /// The count of the correction that is under way.
    correcting_to: Option<i32>,
    /// The latest correction: its count, and the target's resource version with it.
    corrected: Option<(i32, u64)>,
    /// The target's resource version as of which its owners were put right.
    given_back: u64,
    /// How often giving back has failed in a row, and when to try again; events do not make it sooner.
    give_back_failed: Option<(u32, Instant)>,
    before: Option<i32>,
    /// The fight that was told of.
    told: Option<(&'static str, String)>,
    /// The status as the API server has it, and the one that was sent last.
    pub(super) stored: ReplicaCountStatus,
    sent: Option<ReplicaCountStatus>,
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
    pub fn new(count: Arc<ReplicaCount>, max_replicas: i32) -> Self {
        let stored = count.status_or_default();
        Self {
            target: None,
            failure: None,
            history: History::of(&stored),
            contest: Contest::of(&stored),
            kind: KindState::default(),
            autoscaler: None,
            appliers: Appliers::of(&stored),
            max_replicas,
            desired: stored.desired,
            correcting_to: None,
            corrected: None,
            given_back: 0,
            give_back_failed: None,
            before: stored.observed,
            told: told(&stored),
            stored,
            sent: None,
            count,
        }
    }

    /// Takes in a new state and tells of the drift that it is, if it is one.
    pub fn observe(&mut self, count: Arc<ReplicaCount>, seen: Seen, now: Timestamp) -> Option<&Drift> {
        if count.metadata.generation != self.count.metadata.generation {
            // Somebody has decided, be it for the same count.
            self.contest.clear();
        }
        if count.resource_version_number() > self.count.resource_version_number() {
            self.adopt(count.status_or_default());
        }
        self.count = count;
        let before = self.target.take();
        (self.target, self.kind, self.autoscaler) = (seen.target, seen.kind, seen.autoscaler);
        self.note_change(now);
        let target = self.target.as_ref()?;
        if before.is_some_and(|before| before.uid != target.uid) {
            // Another object of the same name: nobody has applied it yet.
            self.appliers = Appliers::default();
        }
        let left_out = self.appliers.observe(&target.owners, target.replicas);
        let desired = self.desired?;
        // A count of 0 leaves no owner behind, and so neither does the next write through /scale.
        let ours = self.corrected.is_some_and(|(_, version)| version == target.resource_version)
            || target.replicas == self.correcting_to;
        let from = drift_from(self.before, target, desired, ours);
        self.before = target.replicas;
        if let (Some(from), Some(to)) = (from, target.replicas) {
            // An applier that leaves the count out resets it, and owns it no longer.
            let writer = target.owners.last.as_ref().or(left_out.as_ref());
            let drift = self.history.drift(writer, from, to, now);
            self.contest.drifted(&drift.manager, now);
            return Some(drift);
        }
        if self.before == self.desired {
            self.history.end_drift(now);
        }
        None
    }

    /// Takes over what another server has stored: two that insisted on their own would write in turns without end.
    fn adopt(&mut self, status: ReplicaCountStatus) {
        if status != self.stored && self.sent.as_ref() != Some(&status) {
            self.history = History::of(&status);
            self.contest.adopt(&status);
            self.appliers.adopt(&status);
        }
        self.stored = status;
    }

    /// Records that the desired count is another than before, also when only time has passed.
    pub fn note_change(&mut self, now: Timestamp) {
        let desired = self.count.spec.desired(now);
        if desired == self.desired {
            return;
        }
        self.contest.clear();
        if let Some(to) = desired {
            let by_time = self.count.metadata.generation == self.stored.observed_generation;
            let reason = match self.count.spec.active_override(now) {
                _ if by_time => "the override ended",
                Some(over) => &over.reason,
                None => &self.count.spec.reason,
            };
            let by = if by_time { String::new() } else { self.count.set_by() };
            self.history.change(self.desired, to, by, reason.to_owned(), now);
        }
        self.desired = desired;
    }

    /// Records that a correction is under way.
    pub fn note_correcting(&mut self, to: i32) {
        self.correcting_to = Some(to);
    }

    /// Records that the write under way has ended, and with which resource version of the target, if it was stored.
    pub fn note_written(&mut self, stored: Option<(i32, u64)>, now: Timestamp) {
        self.correcting_to = None;
        let Some((to, version)) = stored else { return };
        self.corrected = Some((to, version));
        // An answer with the version that is known already tells of a write that changed nothing.
        if self.target.as_ref().is_none_or(|target| target.resource_version != version) {
            self.contest.corrected(now);
        }
        self.failure = None;
        if self.desired == Some(to) {
            self.history.end_drift(now);
        }
    }

    /// Whether the target's count cannot be read, and this one was written last.
    pub(super) fn is_unreadable_at(&self, count: i32) -> bool {
        let unreadable = self.target.as_ref().is_some_and(|target| target.replicas.is_none());
        unreadable && self.corrected.is_some_and(|(to, _)| to == count)
    }

    /// How long the next write has to wait, after failed ones or in a fight.
    pub fn pause(&self, now: Timestamp) -> Duration {
        let failure = self.failure.as_ref().map(|failure| failure.retry_at.saturating_duration_since(Instant::now()));
        failure.unwrap_or_default().max(self.contest.pause(now))
    }

    /// The situation to decide on.
    pub fn situation(&self, now: Timestamp) -> Situation<'_> {
        Situation {
            spec: &self.count.spec,
            target: self.target.as_ref(),
            kind: &self.kind,
            max_replicas: self.max_replicas,
            corrected: self.corrected,
            ending: self.count.metadata.deletion_timestamp.is_some(),
            now,
        }
    }

    /// The status to send, unless the API server has it already.
    pub fn status_to_send(&mut self, now: Timestamp) -> Option<ReplicaCountStatus> {
        // What another server, or this one before its start, has found out about the target still stands.
        if self.kind == KindState::Unlisted && !self.stored.conditions.is_empty() {
            return None;
        }
        let status = self.status(now);
        if status == self.stored {
            return None;
        }
        self.sent = Some(status.clone());
        Some(status)
    }

    /// Records what the API server has stored.
    pub fn note_stored(&mut self, status: ReplicaCountStatus) {
        self.stored = status;
    }

    /// What to do about the owners of the count, once it is in place.
    pub fn give_back(&self, now: Timestamp) -> Option<GiveBack> {
        let (KindState::Watched(kind), Some(target)) = (&self.kind, &self.target) else { return None };
        let newest = self.corrected.map_or(0, |(_, version)| version).max(self.given_back);
        let due = self.situation(now).plan() == Plan::Keep
            && target.resource_version >= newest
            && self.appliers.are_missing_in(&target.owners);
        due.then(|| GiveBack { kind: kind.clone(), appliers: self.appliers.recipients() })
    }

    /// How long giving back has to wait, after failures.
    pub fn give_back_pause(&self) -> Duration {
        self.give_back_failed.map_or(Duration::ZERO, |(_, at)| at.saturating_duration_since(Instant::now()))
    }

    /// How often it has failed in a row.
    pub fn give_back_failures(&self) -> u32 {
        self.give_back_failed.map_or(0, |(failures, _)| failures)
    }

    /// Records what became of it.
    pub fn note_given_back(&mut self, done: &GivenBack) {
        self.give_back_failed = match done {
            GivenBack::Done(version) => {
                // What is older says nothing of it, and the same version tells of owners that nothing was done about.
                self.given_back = version + 1;
                None
            }
            GivenBack::Kept => None,
            GivenBack::Failed(_) => {
                let failures = self.give_back_failures().saturating_add(1);
                let pause = GIVE_BACK_PAUSE.saturating_mul(1 << failures.min(8)).min(GIVE_BACK_PAUSE_MAX);
                Some((failures, Instant::now() + pause))
            }
        };
    }

    /// The fight to tell of, if it was not told of yet.
    pub fn contest_to_tell(&mut self, now: Timestamp) -> Option<(&'static str, String)> {
        let contest = self.contested(now);
        if contest == self.told {
            return None;
        }
        self.told = contest;
        self.told.clone()
    }
}

/// The fight that a stored status tells of.
fn told(status: &ReplicaCountStatus) -> Option<(&'static str, String)> {
    let contested = status.conditions.iter().find(|one| one.type_ == CONTESTED && one.status == "True")?;
    let reason = [AUTOSCALED, REPEATED_DRIFT].into_iter().find(|reason| *reason == contested.reason)?;
    Some((reason, contested.message.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{Owners, Target, TargetKey, TargetKind};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

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
        let kind = KindState::Watched(Arc::new(TargetKind::apps()[0].clone()));
        Seen { key: TargetKey::new("shop", "", "", "web").unwrap(), count: None, target, kind, autoscaler: None }
    }

    fn ready(tracked: &Tracked) -> String {
        tracked.status(at(0)).conditions[0].reason.clone()
    }

    #[test]
    fn a_drift_is_told_from_the_start_of_the_management_and_from_our_own_writes() {
        let count = replicas(1, 3);
        let mut tracked = Tracked::new(count.clone(), MAX);
        // Management starts with another count: nobody changed it.
        assert!(tracked.observe(count.clone(), seen(Some((10, 2, "helm"))), at(0)).is_none());
        assert_eq!(ready(&tracked), "Correcting");
        tracked.note_written(Some((3, 11)), at(1));
        assert_eq!(tracked.history.take_ended(), None);
        assert!(tracked.observe(count.clone(), seen(Some((11, 3, "replica-count-manager"))), at(1)).is_none());
        assert_eq!(ready(&tracked), "InPlace");
        let drift = tracked.observe(count.clone(), seen(Some((12, 7, "kubectl"))), at(2)).unwrap().clone();
        assert_eq!((drift.manager.as_str(), drift.from, drift.to, drift.corrected_at), ("kubectl", 3, 7, None));
        // Another event of the same state is not another drift.
        assert!(tracked.observe(count.clone(), seen(Some((13, 7, "kubectl"))), at(3)).is_none());
        tracked.note_written(Some((3, 14)), at(4));
        let ended = tracked.history.take_ended().unwrap();
        assert_eq!(ended.corrected_at, Some(MicroTime(at(4))));
        // A late write of ours is corrected, and is nobody's drift.
        assert!(tracked.observe(count, seen(Some((15, 4, "replica-count-manager"))), at(5)).is_none());
        assert_eq!(tracked.status(at(5)).drifts, 1);
    }

    #[test]
    fn the_status_names_the_latest_five_actors_and_ten_changes() {
        let mut tracked = Tracked::new(replicas(1, 0), MAX);
        for step in 1..=12 {
            let count = replicas(step, i32::try_from(step).unwrap());
            let manager = format!("manager-{}", step % 7);
            tracked.observe(count.clone(), seen(Some((2 * step, 50, &manager))), at(0));
            tracked.observe(count, seen(Some((2 * step + 1, 60, &manager))), at(0));
        }
        let status = tracked.status(at(0));
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
        let mut tracked = Tracked::new(count.clone(), MAX);
        let drift = tracked.observe(count, seen(Some((20, 8, "helm"))), at(0)).unwrap();
        assert_eq!((drift.from, drift.to), (3, 8));
        let status = tracked.status(at(0));
        assert_eq!((status.drifts, status.changes), (5, vec![]));
    }

    #[test]
    fn a_status_is_stored_once() {
        let mut tracked = Tracked::new(replicas(1, 3), MAX);
        tracked.observe(replicas(1, 3), seen(Some((10, 3, "kubectl"))), at(0));
        let now = Timestamp::from_microsecond(at(0).as_microsecond() + 123_456).unwrap();
        tracked.observe(replicas(1, 3), seen(Some((11, 7, "kubectl"))), now);
        let sent = tracked.status_to_send(now).unwrap();
        // As it comes back through the watch.
        let echo = count(2, json!({"replicas": 3}), &serde_json::to_value(&sent).unwrap());
        let echo = Arc::new(ReplicaCount {
            metadata: kube::core::ObjectMeta { generation: Some(1), ..echo.metadata.clone() },
            ..(*echo).clone()
        });
        tracked.observe(echo, seen(Some((11, 7, "kubectl"))), at(60));
        assert_eq!(tracked.status_to_send(at(60)), None, "neither the echo nor the time changes anything");
    }

    #[test]
    fn what_another_server_has_stored_is_taken_over() {
        let mut tracked = Tracked::new(replicas(1, 3), MAX);
        tracked.observe(replicas(1, 3), seen(Some((10, 3, "kubectl"))), at(0));
        tracked.observe(replicas(1, 3), seen(Some((11, 7, "kubectl"))), at(1));
        let mut other = tracked.status(at(1));
        (other.drifts, other.drifters[0].manager) = (8, "helm".to_owned());
        tracked.observe(count(2, json!({"replicas": 3}), &serde_json::to_value(&other).unwrap()), seen(None), at(2));
        let status = tracked.status(at(2));
        assert_eq!((status.drifts, status.drifters[0].manager.as_str()), (8, "helm"));
    }

    #[test]
    fn a_write_of_ours_that_leaves_no_owner_is_no_drift() {
        let ownerless = |version, replicas| {
            let mut seen = seen(Some((version, replicas, "")));
            seen.target.iter_mut().for_each(|target| target.owners = Owners::default());
            seen
        };
        let mut tracked = Tracked::new(replicas(1, 0), MAX);
        tracked.observe(replicas(1, 0), seen(Some((10, 3, "kubectl"))), at(0));
        tracked.note_correcting(0);
        // The next Set is known before the echo of the correction to 0.
        tracked.observe(replicas(2, 5), seen(Some((10, 3, "kubectl"))), at(1));
        assert!(tracked.observe(replicas(2, 5), ownerless(11, 0), at(1)).is_none());
        tracked.note_written(Some((0, 11)), at(1));
        assert!(tracked.observe(replicas(2, 5), ownerless(12, 2), at(2)).is_some(), "that was somebody else");
    }

    #[test]
    fn the_end_of_an_override_is_a_change_by_nobody() {
        let over = json!({"replicas": 9, "until": at(10).to_string(), "reason": "sale"});
        let status = json!({"observedGeneration": 1, "desired": 9, "conditions": []});
        let count = count(1, json!({"replicas": 3, "override": over}), &status);
        let mut tracked = Tracked::new(count, MAX);
        tracked.note_change(at(10));
        let change = &tracked.status(at(10)).changes[0];
        assert_eq!((change.from, change.to, change.by.as_str()), (Some(9), 3, ""));
        assert_eq!(change.reason, "the override ended");
    }
}
