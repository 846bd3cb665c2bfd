//! Whether the chart's admission policy holds this server to giving back ownership.
//!
//! The right to patch targets is wider than what it is used for. A ValidatingAdmissionPolicy narrows it, and whether that
//! is in force shows by its effect only: a dry run of what it must refuse.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::{
    Api,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;
use tracing::{info, warn};

use super::ownership::is_missing_right;
use crate::{
    resources::{FIELD_MANAGER, GROUP, TargetKey},
    telemetry::Metrics,
};

/// How often to look, at most. It costs one request beside two that are made anyway.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is known of the fence. Clones share it.
#[derive(Clone)]
pub struct Fence {
    metrics: Arc<Metrics>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    checked: Option<Instant>,
    missing: bool,
}

impl Fence {
    /// A fence of which nothing is known.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, state: Arc::default() }
    }

    /// Looks whether it is in force for a target, unless that was done lately, and says when it is not.
    pub async fn check(&self, targets: &Api<DynamicObject>, key: &TargetKey) {
        if !self.is_due() {
            return;
        }
        let label = json!({"metadata": {"labels": {format!("{GROUP}/fence"): "probe"}}});
        let parameters = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER) };
        match targets.patch_metadata(&key.name, &parameters, &Patch::Merge(label)).await {
            Ok(_) => self.note(true),
            Err(kube::Error::Api(status)) if status.code == 403 && !is_missing_right(&status) => self.note(false),
            // Nothing was learned.
            Err(_) => {}
        }
    }

    fn is_due(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.checked.is_none_or(|checked| checked.elapsed() > INTERVAL);
        if due {
            state.checked = Some(Instant::now());
        }
        due
    }

    fn note(&self, missing: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if missing && !state.missing {
            warn!(
                "the admission policy that fences this account is not in force: it may change targets as a whole; \
                install the chart's ValidatingAdmissionPolicy, or take the right to patch targets away"
            );
        } else if !missing && state.missing {
            info!("the admission policy that fences this account is in force again");
        }
        state.missing = missing;
        self.metrics.fence_missing.set(missing.into());
    }
}
