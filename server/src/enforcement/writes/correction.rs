//! The writes that put the desired state in place.

use std::time::Duration;

use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Preconditions},
};
use tokio::time::timeout;

use super::{
    super::{decision::Correction, failure::Cause},
    scale,
};
use crate::{
    resources::{Lenient, ReplicaCount, ReplicaCountState, RestoreRequest, TargetKey, TargetKind, resource_version},
    telemetry,
};

/// How long one write may take before it counts as failed: kube's client has no read timeout of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest Retry-After that the server follows. So the next attempt follows within this time once the API server is
/// no longer busy.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a correction.
#[derive(Debug)]
pub enum CorrectionAnswer {
    /// The API server has stored a count. It differs from the count that was sent if admission changed it.
    Scaled {
        /// The count that was sent, in replicas.
        to: i32,
        /// The count that was stored, in replicas.
        stored: i32,
        /// The target's resource version with it.
        version: u64,
        /// Whether the write changed the target.
        was_changed: bool,
    },
    /// The `ReplicaCount` is deleted.
    Unset,
    /// The `ReplicaCount` is not deleted, because its spec has changed.
    Outdated {
        /// The resource version that the deletion was decided from.
        version: u64,
    },
    /// Nothing was written, as far as is known.
    Failed {
        /// Whose fault it is.
        cause: Cause,
        /// Why, with all causes.
        error: String,
        /// How long the API server asked to wait.
        retry_after: Option<Duration>,
    },
}

/// Writes corrections.
#[derive(Clone)]
pub struct Corrector {
    client: Client,
}

impl Corrector {
    /// Writes with the account of a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Writes one correction.
    pub async fn write(&self, key: &TargetKey, correction: Correction) -> CorrectionAnswer {
        let write = async {
            match correction {
                Correction::Scale { to, kind, seen } => self.scale(key, &kind, to, seen).await,
                Correction::Unset { count } => self.unset(key, &count).await,
            }
        };
        match timeout(TIMEOUT, write).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failed(&error),
            Err(_) => {
                let error = format!("no answer within {TIMEOUT:?}");
                CorrectionAnswer::Failed { cause: Cause::NoAnswer, error, retry_after: None }
            }
        }
    }

    async fn scale(
        &self,
        key: &TargetKey,
        kind: &TargetKind,
        to: i32,
        seen: u64,
    ) -> Result<CorrectionAnswer, kube::Error> {
        let scale = scale::patch(&self.client, key, kind, to).await?;
        let version = resource_version(&scale.metadata);
        // A Scale leaves a count of 0 out. An answer without a spec says nothing about what was stored.
        let stored = scale.spec.map_or(to, |spec| spec.replicas.unwrap_or(0));
        Ok(CorrectionAnswer::Scaled { to, stored, version, was_changed: version != seen })
    }

    async fn unset(&self, key: &TargetKey, count: &ReplicaCountState) -> Result<CorrectionAnswer, kube::Error> {
        let counts: Api<Lenient<ReplicaCount>> = Api::namespaced(self.client.clone(), &key.namespace);
        let name = key.replica_count_name();
        let mut version = count.resource_version.to_string();
        loop {
            let uid = count.uid.to_string();
            let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: Some(version.clone()) };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            let conflict = match counts.delete(&name, &params).await {
                // kube reads an answer only after the API server has accepted the request.
                Ok(_) | Err(kube::Error::SerdeError(_)) => return Ok(CorrectionAnswer::Unset),
                Err(kube::Error::Api(gone)) if gone.is_not_found() => return Ok(CorrectionAnswer::Unset),
                Err(kube::Error::Api(conflict)) if conflict.is_conflict() => conflict,
                Err(error) => return Err(error),
            };
            // The index is behind. That matters only if the spec has changed, or a Set has cancelled a restore: a new
            // status changes the resource version, too.
            let now = counts.get_opt(&name).await?;
            let Some(now) = now.filter(|now| now.meta().uid.as_ref() == Some(&uid)) else {
                return Ok(CorrectionAnswer::Unset);
            };
            let newest = now.meta().resource_version.clone().unwrap_or_default();
            if now.meta().generation != count.generation || RestoreRequest::of(now.meta()) != count.restore {
                return Ok(CorrectionAnswer::Outdated { version: count.resource_version });
            }
            // A webhook may answer with a conflict, too. Then no event follows, so the deletion counts as failed and is
            // tried again after a pause.
            if newest == version {
                return Err(kube::Error::Api(conflict));
            }
            version = newest;
        }
    }
}

fn failed(error: &kube::Error) -> CorrectionAnswer {
    let cause = Cause::of(error);
    match error {
        kube::Error::Api(status) => {
            let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER));
            CorrectionAnswer::Failed { cause, error: status.message.clone(), retry_after }
        }
        error => CorrectionAnswer::Failed { cause, error: telemetry::chain(error), retry_after: None },
    }
}
