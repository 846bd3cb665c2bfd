//! The writes that put a count in place.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};

use crate::{
    enforcement::writes::scale,
    resources::{ReplicaCount, ReplicaCountState, TargetKey, TargetKind, resource_version},
    telemetry,
};

/// How long one write may take before it counts as failed: kube's client has no read timeout of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failed write.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause after failed writes: an API server that comes back is used within this time.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A write.
#[derive(Debug)]
pub enum Correction {
    /// Set the target's count.
    Scale {
        /// The count, in replicas.
        to: i32,
        /// The target's kind.
        kind: Arc<TargetKind>,
    },
    /// Delete the `ReplicaCount`, unless it changed meanwhile.
    Unset {
        /// The object to delete.
        count: Arc<ReplicaCountState>,
    },
}

/// What became of it.
#[derive(Debug)]
pub enum Corrected {
    /// The API server has stored the count.
    Scaled {
        /// The count, in replicas.
        to: i32,
        /// The target's resource version with it.
        version: u64,
    },
    /// The `ReplicaCount` is deleted.
    Unset,
    /// It was not written, as far as we know.
    Failed {
        /// Why, with all causes.
        error: String,
        /// How long the API server asked us to wait.
        retry_after: Option<Duration>,
    },
}

/// Writes corrections.
#[derive(Clone)]
pub struct Corrector {
    client: Client,
}

impl Corrector {
    /// With the account of a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Writes one correction.
    pub async fn write(&self, key: &TargetKey, correction: Correction) -> Corrected {
        let write = async {
            match correction {
                Correction::Scale { to, kind } => self.scale(key, &kind, to).await,
                Correction::Unset { count } => self.unset(key, &count).await,
            }
        };
        match tokio::time::timeout(TIMEOUT, write).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => failed(&error),
            Err(_) => Corrected::Failed { error: format!("no answer within {TIMEOUT:?}"), retry_after: None },
        }
    }

    async fn scale(&self, key: &TargetKey, kind: &TargetKind, to: i32) -> Result<Corrected, kube::Error> {
        let scale = scale::patch(&self.client, key, kind, to).await?;
        Ok(Corrected::Scaled { to, version: resource_version(&scale.metadata) })
    }

    async fn unset(&self, key: &TargetKey, count: &ReplicaCountState) -> Result<Corrected, kube::Error> {
        let counts: Api<ReplicaCount> = Api::namespaced(self.client.clone(), &key.namespace);
        let preconditions = Preconditions {
            uid: Some(count.uid.to_string()),
            resource_version: Some(count.resource_version.to_string()),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match counts.delete(&key.replica_count_name(), &params).await {
            Ok(_) => Ok(Corrected::Unset),
            Err(kube::Error::Api(gone)) if gone.is_not_found() => Ok(Corrected::Unset),
            Err(error) => Err(error),
        }
    }
}

fn failed(error: &kube::Error) -> Corrected {
    match error {
        kube::Error::Api(status) => {
            let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(PAUSE_MAX));
            Corrected::Failed { error: status.message.clone(), retry_after }
        }
        error => Corrected::Failed { error: telemetry::chain(error), retry_after: None },
    }
}

/// The pause after so many failures in a row: doubling, with jitter so that many targets do not come back as one.
pub fn pause(attempts: u32) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(PAUSE_MAX);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        assert!(pause(1) >= PAUSE_MIN / 2 && pause(1) <= PAUSE_MIN);
        for attempts in [10, 40, u32::MAX] {
            assert!(pause(attempts) >= PAUSE_MAX / 2 && pause(attempts) <= PAUSE_MAX, "{attempts}");
        }
    }
}
