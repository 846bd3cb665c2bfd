//! The status of one managed target: what is known of it, in the words of Kubernetes conditions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    contention::{AUTOSCALED, CONTESTED, REPEATED_DRIFT, message},
    plan::Plan,
    tracked::ManagedTarget,
};
use crate::{index::KindState, resources::ReplicaCountStatus};

impl ManagedTarget {
    /// The status as it should be now.
    pub(super) fn status(&self, now: Timestamp) -> ReplicaCountStatus {
        let mut status = ReplicaCountStatus {
            observed_generation: self.count.generation,
            desired: self.desired,
            observed: self.target.as_ref().and_then(|target| target.replicas),
            ready: self.target.as_ref().and_then(|target| target.ready),
            appliers: self.appliers.names().map(str::to_owned).collect(),
            conditions: self.conditions(now).into(),
            ..ReplicaCountStatus::default()
        };
        self.history.write_to(&mut status);
        status
    }

    fn conditions(&self, now: Timestamp) -> [Condition; 3] {
        let (ready, reason, message) = self.readiness(now);
        let (found, found_reason, found_message) = match (&self.kind, &self.target) {
            (KindState::Unavailable(problem), _) => ("Unknown", problem.reason, problem.message.clone()),
            (_, Some(_)) => ("True", "Found", String::new()),
            (KindState::Unlisted, None) => ("Unknown", "KindNotListed", "the kind is being looked up".to_owned()),
            (KindState::Watched(_), None) => ("False", "NotFound", "there is no such target".to_owned()),
        };
        let (contested, contested_reason, contested_message) = match self.contested(now) {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", "Uncontested", String::new()),
        };
        let ready = if ready { "True" } else { "False" };
        [
            self.condition("Ready", ready, reason, message, now),
            self.condition("TargetFound", found, found_reason, found_message, now),
            self.condition(CONTESTED, contested, contested_reason, contested_message, now),
        ]
    }

    /// Who else decides about the count, and what to do about it.
    pub(super) fn contested(&self, now: Timestamp) -> Option<(&'static str, String)> {
        if let Some(autoscaler) = &self.autoscaler {
            let note = format!(
                "HorizontalPodAutoscaler {autoscaler} scales this target too: delete one of it and this ReplicaCount"
            );
            return Some((AUTOSCALED, note));
        }
        let opponent = self.contest.opponent(now)?;
        Some((REPEATED_DRIFT, message(opponent)))
    }

    /// Whether the target is as it should be, and why or why not: for programs, and for people.
    fn readiness(&self, now: Timestamp) -> (bool, &'static str, String) {
        let no = |reason, message: &str| (false, reason, message.to_owned());
        let ready = self.target.as_ref().and_then(|target| target.ready);
        match (self.observation(now).plan(), &self.failure) {
            (Plan::Refuse(count), _) => {
                let max = self.max_replicas;
                no("AboveMaximum", &format!("{count} replicas are above the server's maximum of {max}: not enforced"))
            }
            (Plan::Ignore, _) => match &self.kind {
                KindState::Unavailable(problem) => no(problem.reason, &problem.message),
                _ => no("KindNotListed", "the kind is being looked up"),
            },
            (Plan::LeaveToController, _) => {
                let controller = self.target.as_ref().and_then(|target| target.controller.as_deref());
                no(
                    "Controlled",
                    &format!("its count is that of {}: hold that one", controller.unwrap_or("another object")),
                )
            }
            (Plan::Unset, _) => no("OverrideEnded", "the override has ended, and the management with it"),
            (Plan::Await, _) if self.kind == KindState::Unlisted => no("KindNotListed", "the kind is being looked up"),
            (Plan::Await, _) if self.target.is_none() => {
                no("TargetNotFound", "there is no such target: the count holds once it appears")
            }
            (Plan::Await, _) => no("TargetTerminating", "the target is being deleted"),
            (Plan::Correct(_), Some(failure)) => no("CorrectionFailed", &failure.error),
            // Its count cannot be read, and what was written last is what is wanted: nothing suggests that it changed.
            (Plan::Correct(to), None) if self.is_unreadable_at(to) => (true, "InPlace", String::new()),
            (Plan::Correct(_), None) => no("Correcting", "the count is being put in place"),
            (Plan::Keep, _) => match (ready, self.desired) {
                (Some(ready), Some(desired)) if ready != desired => {
                    no("ReplicasNotReady", &format!("{ready} of {desired} replicas are ready"))
                }
                _ => (true, "InPlace", String::new()),
            },
        }
    }

    /// Keeps the time of the last transition while the status is the same, as metav1.Condition asks.
    fn condition(&self, type_: &str, status: &str, reason: &str, message: String, now: Timestamp) -> Condition {
        let before = self.stored.conditions.iter().find(|stored| stored.type_ == type_ && stored.status == status);
        // Stored to the second; more would make every stored condition another than the one that was sent.
        let now = || Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: before.map_or_else(now, |stored| stored.last_transition_time.clone()),
            observed_generation: self.count.generation,
        }
    }
}
