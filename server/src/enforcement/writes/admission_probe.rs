//! Probes whether the webhooks are in force for the targets of a kind in a namespace.
//!
//! Whether the API server calls a webhook depends on its configuration, its certificate, its Service and the network. Only
//! a write shows it: the probe is a dry run that changes a count, and arrives at this server's own endpoint, or not.

use std::{sync::Arc, time::Duration};

use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::timeout;
use tracing::debug;

use super::{scale, target_metadata::TargetMetadata};
use crate::{
    resources::{FIELD_MANAGER, TargetKey, TargetKind, Uid, api_errors::is_webhook_failure},
    reviews::{Admission, AdmissionMode, Probed, Reviews},
    telemetry,
};

/// How long one probe may take: two requests, each of which passes webhooks.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A dry run to send.
#[derive(Clone, Debug)]
pub struct ProbeWrite {
    /// The target.
    pub key: TargetKey,
    /// Its kind.
    pub kind: Arc<TargetKind>,
    /// Its UID.
    pub uid: Uid,
    /// A count that it does not have, in replicas.
    pub count: i32,
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// What admission does for the target.
    Found(Admission),
    /// Nothing was answered in time, or a webhook could not be called. Users' writes fare no better.
    NoAnswer,
    /// The API server has decided nothing, and no webhook is to blame: the target is gone, or the API server is away or
    /// busy.
    Undecided,
}

/// Probes the webhooks.
#[derive(Clone)]
pub struct AdmissionProbe {
    client: Client,
    mode: AdmissionMode,
    reviews: Arc<Reviews>,
}

impl AdmissionProbe {
    /// Sends dry runs with the account of a client.
    pub fn new(client: Client, mode: AdmissionMode, reviews: Arc<Reviews>) -> Self {
        Self { client, mode, reviews }
    }

    /// Finds out what admission does for a target. There may be one probe of a target at a time.
    pub async fn probe(&self, write: ProbeWrite) -> ProbeAnswer {
        self.reviews.begin_probe(write.uid.clone());
        let sent = timeout(TIMEOUT, self.send(&write)).await;
        let probed = self.reviews.end_probe(&write.uid);
        match sent {
            Ok(Ok(())) => ProbeAnswer::Found(admission(self.mode, probed)),
            Ok(Err(error)) => {
                debug!(target = %write.key, error = telemetry::chain(&error), "webhooks not probed");
                let is_of_webhook = matches!(&error, kube::Error::Api(status) if is_webhook_failure(status));
                if is_of_webhook { ProbeAnswer::NoAnswer } else { ProbeAnswer::Undecided }
            }
            Err(_) => {
                debug!(target = %write.key, "webhooks not probed within {TIMEOUT:?}");
                ProbeAnswer::NoAnswer
            }
        }
    }

    /// Sends both dry runs. What refuses them does not matter.
    async fn send(&self, ProbeWrite { key, kind, count, .. }: &ProbeWrite) -> Result<(), kube::Error> {
        if_answered(scale::try_patch(&self.client, key, kind, *count).await)?;
        if self.mode == AdmissionMode::Guard {
            let patch = kind.replicas.names().rev().fold(json!(count), |inner, name| json!({name: inner}));
            let target = TargetMetadata::new(&self.client, key, kind);
            if_answered(target.try_patch(PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch)).await)?;
        }
        Ok(())
    }
}

/// Whether the API server has decided about a request. If the target is gone, or the API server is busy, it has not.
fn if_answered(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 409 | 422) => Ok(()),
        answer => answer,
    }
}

/// What the reviews that have arrived mean. The validating webhook refuses writes of `/scale`, and the mutating one keeps
/// the count of the object itself, so a guard needs both.
fn admission(mode: AdmissionMode, probed: Probed) -> Admission {
    match probed {
        Probed { is_validated: true, is_mutated: true } if mode == AdmissionMode::Guard => Admission::Guarded,
        Probed { is_validated: true, .. } => Admission::Recorded,
        Probed { is_validated: false, .. } => Admission::Neither,
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::resources::fixtures::deployment_key;

    #[test]
    fn a_guard_needs_both_webhooks() {
        let guard = AdmissionMode::Guard;
        for (name, mode, is_validated, is_mutated, expected) in [
            ("both", guard, true, true, Admission::Guarded),
            ("a kind without a mutating webhook", guard, true, false, Admission::Recorded),
            ("without the validating one", guard, false, true, Admission::Neither),
            ("a namespace that is left out", guard, false, false, Admission::Neither),
            ("mode warn", AdmissionMode::Warn, true, false, Admission::Recorded),
            ("after a change of the mode", AdmissionMode::Record, true, true, Admission::Recorded),
        ] {
            assert_eq!(admission(mode, Probed { is_validated, is_mutated }), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn an_answer_shows_the_webhooks_unless_the_api_server_has_decided_nothing() {
        let guarded = ProbeAnswer::Found(Admission::Guarded);
        for (name, code, message, expected) in [
            ("stored", 200, "", guarded),
            ("denied", 403, "no", guarded),
            ("invalid", 422, "no", guarded),
            ("gone", 404, "no", ProbeAnswer::Undecided),
            ("busy", 429, "no", ProbeAnswer::Undecided),
            ("etcd is away", 500, "etcdserver: no leader", ProbeAnswer::Undecided),
            ("unavailable", 503, "no", ProbeAnswer::Undecided),
            ("a webhook hangs", 500, "failed calling webhook \"x\": context deadline exceeded", ProbeAnswer::NoAnswer),
        ] {
            let reviews: Arc<Reviews> = Arc::default();
            let seen = reviews.clone();
            let answer = tower::service_fn(move |request: Request<Body>| {
                // The API server asks the webhook before it answers.
                seen.record_dry_run(&"u".into(), !request.uri().path().ends_with("/scale"));
                assert!(request.uri().query().unwrap_or_default().contains("dryRun=All"));
                let status =
                    json!({"kind": "Status", "status": "Failure", "code": code, "reason": "x", "message": message});
                let body = if code == 200 { json!({"metadata": {}}) } else { status };
                async move {
                    let body = Body::from(body.to_string().into_bytes());
                    Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
                }
            });
            let probe = AdmissionProbe::new(Client::new(answer, "default"), AdmissionMode::Guard, reviews);
            let kind = Arc::new(TargetKind::apps()[0].clone());
            let write = ProbeWrite { key: deployment_key("web"), kind, uid: "u".into(), count: 1 };
            assert_eq!(probe.probe(write).await, expected, "{name}");
        }
    }
}
