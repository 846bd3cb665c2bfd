//! The pod of this server, and Events about it: `kubectl describe pod` shows the server's own problems.

use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::time::timeout;
use tracing::debug;

use super::object_labels::ObjectLabels;
use crate::{resources::FIELD_MANAGER, telemetry};

/// The longest time that writing an Event may take. Its caller waits, so it must be short.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest note of an Event, in characters. events.k8s.io/v1 accepts 1,024 bytes, and a character takes up to four.
const MAX_NOTE: usize = 250;

/// The pod that this server runs in.
#[derive(Args, Clone, Debug, Default)]
pub struct PodArgs {
    /// Name of this pod, for its Events and for the Lease; empty means the host name, and no Events
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) pod_name: String,

    /// Namespace of this pod, where the server keeps the Lease and the managed certificates
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) pod_namespace: String,

    /// UID of this pod, by which `kubectl describe` finds its Events
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "UID")]
    pub(crate) pod_uid: String,

    /// Labels of the objects that the server makes for itself: the Lease, the EndpointSlice of the webhooks,
    /// and those of the managed certificates
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME=VALUE,…")]
    pub(crate) object_labels: ObjectLabels,
}

impl PodArgs {
    /// The name of the pod, or the host name outside of a pod.
    pub(crate) fn name(&self) -> String {
        if !self.pod_name.is_empty() {
            return self.pod_name.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        host.trim().to_owned()
    }
}

/// Records Events about this server's pod.
pub(crate) struct PodEvents {
    recorder: Recorder,
    /// `None` outside of a pod.
    reference: Option<ObjectReference>,
}

impl PodEvents {
    pub(crate) fn new(client: Client, args: &PodArgs) -> Self {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let reference = (!args.pod_name.is_empty() && !args.pod_namespace.is_empty()).then(|| ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: some(&args.pod_name),
            namespace: some(&args.pod_namespace),
            uid: some(&args.pod_uid),
            ..ObjectReference::default()
        });
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: some(&args.pod_name) };
        Self { recorder: Recorder::new(client, reporter), reference }
    }

    /// Writes an Event. If that fails, the Event is lost. Callers also log it.
    pub(crate) async fn record(&self, type_: EventType, reason: &str, action: &str, note: &str) {
        let Some(reference) = &self.reference else { return };
        let note = note.chars().take(MAX_NOTE).collect();
        let (reason, action) = (reason.to_owned(), action.to_owned());
        let event = Event { type_, reason, action, note: Some(note), secondary: None };
        match timeout(TIMEOUT, self.recorder.publish(&event, reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(error = telemetry::chain(&error), "event not written"),
            Err(_) => debug!("event not written within {TIMEOUT:?}"),
        }
    }
}
