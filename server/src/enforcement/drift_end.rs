//! How a drift ends: the target is back at the desired count.
//!
//! A change of the desired count puts nothing back, even if it accepts the count of the drift. Neither does another
//! object of the same name. Such a drift stays in the history as it is ([`super::history`]).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{
    assessment::{LastCorrection, effective_count},
    memory::Memory,
    observation::Observation,
};
use crate::{index::KindState, resources::Drift};

/// The drift that ends with a state, if one does.
pub fn ended_drift(observation: &Observation, memory: &Memory, desired: Option<i32>, now: Timestamp) -> Option<Drift> {
    let drift = memory.history.open_drift()?;
    let is_back = match &observation.target {
        Some(target) => memory.is_known(target) && effective_count(target, memory.last_correction) == desired,
        None => is_corrected_and_gone(observation, memory, desired),
    };
    // The clock of the leader that saw the drift may be ahead of this one.
    let at = now.max(drift.at.0);
    let ended = || Drift { corrected_at: Some(MicroTime(at)), ..drift.clone() };
    (is_back && desired.is_some() && desired == memory.desired).then(ended)
}

/// Whether the API server stored the correction of the latest drift, but the target was deleted before its corrected
/// state was seen.
fn is_corrected_and_gone(observation: &Observation, memory: &Memory, desired: Option<i32>) -> bool {
    let is_corrected = |last: LastCorrection| last.version > memory.drift_version && Some(last.to) == desired;
    matches!(observation.kind, KindState::Watched(_)) && memory.last_correction.is_some_and(is_corrected)
}
