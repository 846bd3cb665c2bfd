//! The past of one managed target, as its status shows it: drifts, their actors, and changes of the desired count.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::resources::{Change, Drift, Drifter, ReplicaCountStatus};

/// How many actors the status names.
const MAX_DRIFTERS: usize = 5;

/// How many changes of the desired count the status holds.
const MAX_CHANGES: usize = 10;

/// The past of one managed target.
///
/// The past is kept as a status. As long as the stored status shows the same past, both are one object in memory.
#[derive(Clone, Debug)]
pub struct History(Arc<ReplicaCountStatus>);

impl History {
    /// The past that a status shows.
    pub fn of(status: &Arc<ReplicaCountStatus>) -> Self {
        Self(status.clone())
    }

    /// Writes the past into a status.
    pub fn write_to(&self, status: &mut ReplicaCountStatus) {
        status.drifts = self.0.drifts;
        status.last_drift = self.0.last_drift.clone();
        status.drifters = self.0.drifters.clone();
        status.changes = self.0.changes.clone();
    }

    /// Shares the memory of a status that shows the same past.
    pub fn share(&mut self, status: &Arc<ReplicaCountStatus>) {
        let past = &self.0;
        if (past.drifts, &past.last_drift, &past.drifters, &past.changes)
            == (status.drifts, &status.last_drift, &status.drifters, &status.changes)
        {
            self.0 = status.clone();
        }
    }

    /// The latest drift, if it has not ended.
    pub fn open_drift(&self) -> Option<&Drift> {
        self.0.last_drift.as_ref().filter(|drift| drift.corrected_at.is_none())
    }

    /// Whether a change at this time or later replaced this count as the desired one.
    pub fn was_desired_after(&self, count: i32, time: Timestamp) -> bool {
        self.0.changes.iter().any(|change| change.from == Some(count) && change.at.0 >= time)
    }

    /// Adds a drift.
    pub fn add_drift(&mut self, drift: &Drift) {
        let past = Arc::make_mut(&mut self.0);
        // A status may hold any number.
        past.drifts = past.drifts.saturating_add(1);
        let known = past.drifters.iter().position(|drifter| drifter.manager == drift.manager);
        let count = known.map_or(0, |index| past.drifters.remove(index).count).saturating_add(1);
        let Drift { manager, from, to, at, .. } = drift.clone();
        past.drifters.insert(0, Drifter { manager, count, from, to, last: at });
        past.drifters.truncate(MAX_DRIFTERS);
        past.last_drift = Some(drift.clone());
    }

    /// Ends the latest drift: the desired count is in place.
    pub fn end_drift(&mut self, at: Timestamp) {
        if self.open_drift().is_some()
            && let Some(drift) = &mut Arc::make_mut(&mut self.0).last_drift
        {
            drift.corrected_at = Some(MicroTime(at));
        }
    }

    /// Adds a change of the desired count.
    pub fn add_change(&mut self, change: Change) {
        let changes = &mut Arc::make_mut(&mut self.0).changes;
        changes.insert(0, change);
        changes.truncate(MAX_CHANGES);
    }
}
