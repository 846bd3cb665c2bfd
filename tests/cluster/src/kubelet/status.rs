//! Builds the status of a pod from the state of its processes.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::container::{Ending, Phase, Running, State};

/// The state that the status is built from.
pub(super) struct Observed<'a> {
    pub(super) pod: &'a Pod,
    pub(super) address: &'a str,
    pub(super) containers: &'a [Running],
    /// Why the containers cannot start yet.
    pub(super) obstacle: Option<String>,
}

impl Observed<'_> {
    /// The status as a merge patch of the pod.
    pub(super) fn patch(&self) -> Value {
        let running = self.obstacle.is_none();
        let statuses = if running { self.statuses() } else { self.waiting() };
        let ready = running && self.containers.iter().all(|container| container.state().health.ready);
        json!({"status": {
            "phase": if running { self.phase() } else { "Pending" },
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self.pod.metadata.creation_timestamp,
            "containerStatuses": statuses,
            "conditions": [
                self.condition("PodScheduled", true),
                self.condition("Initialized", true),
                self.condition("ContainersReady", ready),
                self.condition("Ready", ready),
            ],
        }})
    }

    /// A pod ends when all of its containers have ended permanently.
    fn phase(&self) -> &'static str {
        let outcome = |running: &Running| match running.state().phase {
            Phase::Terminated(ending) if !running.plan.restarts => Some(ending.code()),
            _ => None,
        };
        match self.containers.iter().map(outcome).collect::<Option<Vec<_>>>() {
            None => "Running",
            Some(codes) if codes.iter().all(|code| *code == 0) => "Succeeded",
            Some(_) => "Failed",
        }
    }

    fn statuses(&self) -> Vec<Value> {
        self.containers
            .iter()
            .map(|running| container(&running.plan.name, &running.plan.image, &running.state()))
            .collect()
    }

    fn waiting(&self) -> Vec<Value> {
        let containers = self.pod.spec.iter().flat_map(|spec| &spec.containers);
        let message = self.obstacle.as_deref().unwrap_or_default();
        let state = json!({"waiting": {"reason": "CreateContainerConfigError", "message": message}});
        containers
            .map(|spec| {
                let image = spec.image.as_deref().unwrap_or_default();
                json!({
                    "name": spec.name, "image": image, "imageID": "", "ready": false, "started": false,
                    "restartCount": 0, "state": state,
                })
            })
            .collect()
    }

    /// A condition keeps the time of its last transition as long as its status does not change.
    fn condition(&self, name: &str, holds: bool) -> Value {
        let status = if holds { "True" } else { "False" };
        let conditions = self.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let before = conditions.filter(|condition| condition.type_ == name && condition.status == status);
        let since = before.filter_map(|condition| condition.last_transition_time.as_ref()).map(|time| time.0).next();
        let since = whole_seconds(since.unwrap_or_else(Timestamp::now));
        json!({"type": name, "status": status, "lastTransitionTime": since})
    }
}

fn container(name: &str, image: &str, state: &State) -> Value {
    json!({
        "name": name,
        "image": image,
        "imageID": image,
        "ready": state.health.ready,
        "started": state.health.started,
        "restartCount": state.restarts,
        "state": match &state.phase {
            Phase::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            Phase::Running { since, .. } => json!({"running": {"startedAt": whole_seconds(since.0)}}),
            Phase::Terminated(ending) => terminated(ending),
        },
        "lastState": state.last.as_ref().map_or_else(|| json!({}), terminated),
    })
}

fn terminated(ending: &Ending) -> Value {
    json!({"terminated": {
        "exitCode": ending.code(),
        "reason": if ending.code() == 0 { "Completed" } else { "Error" },
        "startedAt": whole_seconds(ending.started.0),
        "finishedAt": whole_seconds(ending.finished.0),
    }})
}

/// The API server drops the fractions of these times.
fn whole_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
