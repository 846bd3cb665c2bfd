//! Probes whether the chart's admission policy, the fence, confines this server's account.
//!
//! The right to patch targets is wider than the server's use of it. A ValidatingAdmissionPolicy narrows it. Only its
//! effect shows whether it is in force: the probe is a dry run of a write that it must refuse.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;
use tracing::{info, warn};

use super::target_metadata::TargetMetadata;
use crate::{
    resources::{FIELD_MANAGER, GROUP, api_errors::is_missing_right},
    telemetry::Metrics,
};

/// The shortest time between two probes. A probe costs one request beside the two of a give-back.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is known of the fence. Clones share it.
#[derive(Clone)]
pub struct FenceProbe {
    metrics: Arc<Metrics>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    probed: Option<Instant>,
    is_missing: bool,
}

impl FenceProbe {
    /// A probe that has found out nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, known: Arc::default() }
    }

    /// Probes whether the fence is in force for a target, unless it was probed lately.
    pub async fn check(&self, target: &TargetMetadata<'_>) {
        if !self.is_due() {
            return;
        }
        let label = json!({"metadata": {"labels": {format!("{GROUP}/fence"): "probe"}}});
        match target.try_patch(PatchParams::apply(FIELD_MANAGER), &Patch::Merge(label)).await {
            Ok(()) => self.record(true),
            Err(kube::Error::Api(status)) if status.code == 403 && !is_missing_right(&status) => self.record(false),
            // Any other failure says nothing about the fence.
            Err(_) => {}
        }
    }

    fn is_due(&self) -> bool {
        let mut known = self.known.lock();
        let is_due = known.probed.is_none_or(|probed| probed.elapsed() > INTERVAL);
        if is_due {
            known.probed = Some(Instant::now());
        }
        is_due
    }

    fn record(&self, is_missing: bool) {
        let mut known = self.known.lock();
        if is_missing && !known.is_missing {
            warn!(
                "the admission policy that confines this account is not in force: the account can change any field of a target; \
                install the chart's ValidatingAdmissionPolicy, or take the right to patch targets away"
            );
        } else if !is_missing && known.is_missing {
            info!("the admission policy that confines this account is in force again");
        }
        known.is_missing = is_missing;
        self.metrics.fence_missing.set(is_missing.into());
    }
}
