//! Tells of what happened: in the status of the `ReplicaCount`, and as an Event of the target.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter as EventSource},
};
use serde_json::json;
use tracing::{debug, warn};

use crate::{
    api::{Drift, FIELD_MANAGER, GroupKind, ReplicaCount, ReplicaCountStatus, TargetKey, TargetKind},
    telemetry,
};

/// How long the writes of one report may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest action of an Event, in bytes (events.k8s.io/v1).
const MAX_ACTION: usize = 128;

/// What to tell of one target.
pub struct Report {
    /// The status to store, if it is another than the stored one.
    pub status: Option<ReplicaCountStatus>,
    /// The corrected drift to tell of.
    pub drift: Option<Drift>,
    /// The object that the status belongs to.
    pub count: Arc<ReplicaCount>,
    /// The target's UID, by which `kubectl describe` finds its Events.
    pub target_uid: Box<str>,
}

impl Report {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.drift.is_none()
    }
}

/// What became of a report.
pub enum Reported {
    /// It was told; this is the status that is stored now.
    Stored(Option<Box<ReplicaCountStatus>>),
    /// The status was not stored.
    Failed,
}

/// Writes reports.
#[derive(Clone)]
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    kinds: Arc<HashMap<GroupKind, String>>,
}

impl Reporter {
    /// A reporter on targets of some kinds.
    pub fn new(client: Client, kinds: &[TargetKind]) -> Self {
        let recorder = Recorder::new(client.clone(), EventSource::from(FIELD_MANAGER));
        let kinds = kinds.iter().map(|kind| (kind.group_kind.clone(), kind.api_version())).collect();
        Self { client, recorder, kinds: Arc::new(kinds) }
    }

    /// Writes one report. An Event that cannot be written is lost: the status tells the same.
    pub async fn write(&self, key: &TargetKey, report: Report) -> Reported {
        let write = async {
            if let Some(drift) = &report.drift {
                self.announce(key, drift, &report).await;
            }
            match report.status {
                Some(status) => self.store(key, &report.count, status).await,
                None => Reported::Stored(None),
            }
        };
        tokio::time::timeout(TIMEOUT, write).await.unwrap_or(Reported::Failed)
    }

    /// Replaces the status whatever it is, of the very object that it was worked out for.
    async fn store(&self, key: &TargetKey, count: &ReplicaCount, status: ReplicaCountStatus) -> Reported {
        let counts: Api<ReplicaCount> = Api::namespaced(self.client.clone(), &key.namespace);
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": count.metadata.uid},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let patch = match serde_json::from_value(operations) {
            Ok(operations) => Patch::Json::<()>(operations),
            Err(error) => {
                warn!(target = %key, %error, "status cannot be written as a patch");
                return Reported::Stored(None);
            }
        };
        match counts.patch_status(&key.replica_count_name(), &PatchParams::apply(FIELD_MANAGER), &patch).await {
            Ok(_) => Reported::Stored(Some(Box::new(status))),
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Reported::Stored(None),
            Err(error) => {
                debug!(target = %key, error = telemetry::chain(&error), "status not stored, trying again");
                Reported::Failed
            }
        }
    }

    /// One Event for each actor and desired count: the recorder counts further ones of the same action on the first.
    async fn announce(&self, key: &TargetKey, drift: &Drift, report: &Report) {
        let desired = report.count.spec.desired(drift.at.0).unwrap_or(drift.from);
        let event = Event {
            type_: EventType::Warning,
            reason: "ReplicasPutBack".into(),
            action: format!("PutBackTo{desired} {}", drift.manager).chars().take(MAX_ACTION).collect(),
            // True of every one that is counted on the first: the counts that were written differ.
            note: Some(format!("{} changed the replica count; put back to {desired}", drift.manager)),
            secondary: Some(report.count.object_ref(&())),
        };
        let regarding = ObjectReference {
            api_version: self.kinds.get(&key.kind).cloned(),
            kind: Some(key.kind.kind.to_string()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(report.target_uid.to_string()),
            ..ObjectReference::default()
        };
        if let Err(error) = self.recorder.publish(&event, &regarding).await {
            debug!(target = %key, error = telemetry::chain(&error), "event not written");
        }
    }
}
