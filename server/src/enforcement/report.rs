//! Tells of what happened: in the status of the `ReplicaCount`, and as an Event of the target.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter as EventSource},
};
use serde_json::{Value, json};
use tracing::debug;

use crate::{
    resources::{
        Drift, FIELD_MANAGER, ReplicaCount, ReplicaCountState, ReplicaCountStatus, TargetKey, resource_version,
    },
    telemetry,
};

/// How long the writes of one report may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest action of an Event, in bytes (events.k8s.io/v1).
const MAX_ACTION: usize = 128;

/// What to tell of one target.
pub struct Report {
    /// The status to store, if it is another than the stored one.
    pub status: Option<Arc<ReplicaCountStatus>>,
    /// How many drifts the status tells of that it replaces, if there is one.
    pub stored_drifts: Option<i64>,
    /// What to tell of by Events.
    pub news: PendingEvents,
    /// The object that the status belongs to.
    pub count: Arc<ReplicaCountState>,
    /// The target, by which `kubectl describe` finds its Events.
    pub target: ObjectReference,
}

/// What to tell of one target by Events.
#[derive(Debug, Default)]
pub struct PendingEvents {
    /// The latest corrected drift.
    pub drift: Option<Drift>,
    /// A fight that has begun: why, and for people.
    pub contest: Option<(&'static str, String)>,
}

impl PendingEvents {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.drift.is_none() && self.contest.is_none()
    }
}

/// What became of a report.
#[derive(Default)]
pub struct Reported {
    /// The status that is stored now, and the resource version with it, if one was to be.
    pub stored: Option<(Arc<ReplicaCountStatus>, u64)>,
    /// Whether something is to be tried again.
    pub failed: bool,
}

/// Writes reports.
#[derive(Clone)]
pub struct Reporter {
    client: Client,
    recorder: Recorder,
}

impl Reporter {
    /// With the account of a client.
    pub fn new(client: Client) -> Self {
        let recorder = Recorder::new(client.clone(), EventSource::from(FIELD_MANAGER));
        Self { client, recorder }
    }

    /// Writes one report. An Event that cannot be written is lost: the status tells the same.
    pub async fn write(&self, key: &TargetKey, mut report: Report) -> Reported {
        let mut reported = Reported::default();
        let write = async {
            self.announce(key, &report).await;
            if let Some(status) = report.status.take() {
                match self.store(key, &report, status).await {
                    Ok(stored) => reported.stored = stored,
                    Err(error) => {
                        debug!(target = %key, error = telemetry::chain(&error), "status not stored, trying again");
                        reported.failed = true;
                    }
                }
            }
        };
        reported.failed |= tokio::time::timeout(TIMEOUT, write).await.is_err();
        reported
    }

    /// Replaces the status of the very object that it was worked out for; `None` if that is gone.
    async fn store(
        &self,
        key: &TargetKey,
        report: &Report,
        status: Arc<ReplicaCountStatus>,
    ) -> Result<Option<(Arc<ReplicaCountStatus>, u64)>, kube::Error> {
        let counts: Api<ReplicaCount> = Api::namespaced(self.client.clone(), &key.namespace);
        let operations = operations(&report.count, report.stored_drifts, &status);
        let patch = Patch::Json::<()>(serde_json::from_value(operations.into()).map_err(kube::Error::SerdeError)?);
        match counts.patch_status(&key.replica_count_name(), &PatchParams::apply(FIELD_MANAGER), &patch).await {
            Ok(count) => Ok(Some((status, resource_version(&count.metadata)))),
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn announce(&self, key: &TargetKey, report: &Report) {
        if let Some(drift) = &report.news.drift {
            self.publish(key, report, put_back(drift, report.count.spec.desired(drift.at.0).unwrap_or(drift.from)))
                .await;
        }
        if let Some((reason, note)) = &report.news.contest {
            self.publish(key, report, event(reason, "Contested".to_owned(), note.clone())).await;
        }
    }

    async fn publish(&self, key: &TargetKey, report: &Report, mut event: Event) {
        event.secondary = Some(ObjectReference {
            uid: Some(report.count.uid.to_string()),
            ..reference(
                &ReplicaCount::api_version(&()),
                &ReplicaCount::kind(&()),
                &key.namespace,
                &key.replica_count_name(),
            )
        });
        if let Err(error) = self.recorder.publish(&event, &report.target).await {
            debug!(target = %key, error = telemetry::chain(&error), "event not written");
        }
    }
}

/// A reference to an object of which no UID is known.
pub fn reference(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// The patch that replaces a status. It fails where another leader has told of drifts since: a late one takes none back.
fn operations(count: &ReplicaCountState, stored_drifts: Option<i64>, status: &ReplicaCountStatus) -> Vec<Value> {
    let test = |path: &str, value: Value| json!({"op": "test", "path": path, "value": value});
    let mut operations = vec![test("/metadata/uid", json!(count.uid.to_string()))];
    operations.extend(stored_drifts.map(|drifts| test("/status/drifts", drifts.into())));
    operations.push(json!({"op": "add", "path": "/status", "value": status}));
    operations
}

/// One Event for each actor and desired count: the recorder counts further ones of the same action on the first. So its
/// note is true of all of them; the counts that were written differ.
fn put_back(drift: &Drift, desired: i32) -> Event {
    let action = format!("PutBackTo{desired} {}", drift.manager).chars().take(MAX_ACTION).collect();
    event("ReplicasPutBack", action, format!("{} changed the replica count; put back to {desired}", drift.manager))
}

fn event(reason: &str, action: String, note: String) -> Event {
    Event { type_: EventType::Warning, reason: reason.to_owned(), action, note: Some(note), secondary: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_status_takes_no_drift_back() {
        let object = json!({
            "apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount", "metadata": {"name": "x", "uid": "1"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "replicas": 1},
        });
        let count: ReplicaCount = serde_json::from_value(object.clone()).unwrap();
        let count = ReplicaCountState::from(count);
        let late = ReplicaCountStatus { drifts: 4, ..ReplicaCountStatus::default() };
        for (stored, known, done) in
            [(None, None, true), (Some(3), Some(3), true), (Some(5), Some(3), false), (Some(0), Some(0), true)]
        {
            let mut object = object.clone();
            if let Some(drifts) = stored {
                object["status"] = json!(ReplicaCountStatus { drifts, ..ReplicaCountStatus::default() });
            }
            let patch: json_patch::Patch = serde_json::from_value(operations(&count, known, &late).into()).unwrap();
            assert_eq!(json_patch::patch(&mut object, &patch).is_ok(), done, "{stored:?} {known:?}");
        }
    }
}
