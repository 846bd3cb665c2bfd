//! The past of one managed target, as its status shows it: drifts, their actors, attempts, and changes of the spec.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::resources::{Attempt, Change, Drift, Drifter, ReplicaCountStatus};

/// How many actors the status names.
const MAX_DRIFTERS: usize = 5;

/// How many drifts the status holds, and how many changes. Both are enough for a day of trouble with one tool, and full
/// histories of 10,000 targets take 40 MB.
const MAX_DRIFTS: usize = 20;

/// See [`MAX_DRIFTS`].
const MAX_CHANGES: usize = 20;

/// The past of one managed target.
///
/// The past is kept as a status. As long as the stored status shows the same past, both are one object in memory.
#[derive(Clone, Debug)]
pub struct History(Arc<ReplicaCountStatus>);

impl History {
    /// The past that a status shows.
    pub fn of(status: &Arc<ReplicaCountStatus>) -> Self {
        let mut past = status.clone();
        // An older server stored one drift, and no numbers.
        if status.recent_drifts.is_empty() && status.last_drift.is_some() {
            let past = Arc::make_mut(&mut past);
            past.recent_drifts.extend(past.last_drift.clone().map(|drift| Drift { number: past.drifts, ..*drift }));
        }
        if status.changes.iter().any(|change| change.number == 0) {
            let changes = Arc::make_mut(&mut past).changes.iter_mut().rev();
            changes.zip(1..).for_each(|(change, number)| change.number = number);
        }
        Self(past)
    }

    /// Writes the past into a status.
    pub fn write_to(&self, status: &mut ReplicaCountStatus) {
        status.drifts = self.0.drifts;
        status.last_drift = self.0.last_drift.clone();
        status.recent_drifts = self.0.recent_drifts.clone();
        status.drifters = self.0.drifters.clone();
        status.changes = self.0.changes.clone();
        status.attempts = self.0.attempts;
        status.last_attempt = self.0.last_attempt.clone();
    }

    /// Shares the memory of a status that shows the same past.
    pub fn share(&mut self, status: &Arc<ReplicaCountStatus>) {
        let parts = |status: &ReplicaCountStatus| {
            let ReplicaCountStatus { drifts, last_drift, recent_drifts, drifters, changes, .. } = status.clone();
            (drifts, last_drift, recent_drifts, drifters, changes, status.attempts, status.last_attempt.clone())
        };
        if Arc::ptr_eq(&self.0, status) || parts(&self.0) == parts(status) {
            self.0 = status.clone();
        }
    }

    /// The latest drift, if it has not ended.
    pub fn open_drift(&self) -> Option<&Drift> {
        self.0.last_drift.as_deref().filter(|drift| drift.corrected_at.is_none())
    }

    /// Whether a change at this time or later replaced this count as the desired one.
    pub fn was_desired_after(&self, count: i32, time: Timestamp) -> bool {
        self.0.changes.iter().any(|change| change.from == Some(count) && change.at.0 >= time)
    }

    /// The latest drift by a manager.
    pub fn latest_by(&self, manager: &str) -> Option<&Drift> {
        self.0.recent_drifts.iter().find(|drift| *drift.manager == *manager)
    }

    /// The latest change to a count that is earlier than a time.
    pub fn latest_change_to(&self, count: i32, before: Timestamp) -> Option<&Change> {
        self.0.changes.iter().find(|change| change.to == count && change.from != Some(count) && change.at.0 < before)
    }

    /// The latest change.
    pub fn latest_change(&self) -> Option<&Change> {
        self.0.changes.first()
    }

    /// Adds a drift.
    pub fn add_drift(&mut self, drift: &Drift) {
        let past = Arc::make_mut(&mut self.0);
        // A status may hold any number.
        past.drifts = past.drifts.saturating_add(1);
        let known = past.drifters.iter().position(|drifter| *drifter.manager == *drift.manager);
        let count = known.map_or(0, |index| past.drifters.remove(index).count).saturating_add(1);
        let Drift { manager, from, to, at, user, .. } = drift.clone();
        past.drifters.insert(0, Drifter { manager: manager.to_string(), count, from, to, last: at, user });
        past.drifters.truncate(MAX_DRIFTERS);
        let drift = Drift { number: past.drifts, ..drift.clone() };
        past.last_drift = Some(Box::new(drift.clone()));
        past.recent_drifts.insert(0, drift);
        past.recent_drifts.truncate(MAX_DRIFTS);
    }

    /// Ends the latest drift: the desired count is in place.
    pub fn end_drift(&mut self, at: Timestamp) {
        let Some(number) = self.open_drift().map(|drift| drift.number) else { return };
        let past = Arc::make_mut(&mut self.0);
        let drifts = past.recent_drifts.iter_mut().chain(past.last_drift.as_deref_mut());
        drifts.filter(|drift| drift.number == number).for_each(|drift| drift.corrected_at = Some(MicroTime(at)));
    }

    /// Adds prevented changes of the count: how many, and the latest.
    pub fn add_attempts(&mut self, number: i64, last: Attempt) {
        let past = Arc::make_mut(&mut self.0);
        // A status may hold any number.
        past.attempts = past.attempts.saturating_add(number);
        past.last_attempt = Some(Box::new(last));
    }

    /// Adds a change of the spec.
    pub fn add_change(&mut self, change: Change) {
        let changes = &mut Arc::make_mut(&mut self.0).changes;
        let number = changes.first().map_or(0, |latest| latest.number).saturating_add(1);
        changes.insert(0, Change { number, ..change });
        changes.truncate(MAX_CHANGES);
    }
}
