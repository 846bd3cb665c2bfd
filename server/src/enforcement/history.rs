//! The past of one managed target, as its status shows it: drifts, their actors, attempts, and changes of the spec.

use std::sync::Arc;

use jiff::Timestamp;

use crate::resources::{Attempt, Change, Drift, Drifter, ReplicaCountStatus};

/// How many actors the status names.
const MAX_DRIFTERS: usize = 5;

/// How many drifts the status holds, and how many changes. Both are enough for a day of trouble with one tool, and full
/// histories of 10,000 targets take 40 MB.
const MAX_DRIFTS: usize = 20;

/// See [`MAX_DRIFTS`].
const MAX_CHANGES: usize = 20;

/// The past of one managed target.
#[derive(Clone, Debug)]
pub struct History {
    /// The past is kept as a status. As long as the stored status shows the same past, both are one object in memory.
    past: Arc<ReplicaCountStatus>,
    /// Whether the latest drift may still be put back: the target is the same object, and the same count is desired.
    is_drift_open: bool,
}

impl History {
    /// The past that a status shows.
    pub fn of(status: &Arc<ReplicaCountStatus>) -> Self {
        let mut past = status.clone();
        // An older server stored one drift, and no numbers.
        if status.recent_drifts.is_empty()
            && let Some(last) = status.last_drift.as_deref()
        {
            let drift = Drift { number: status.drifts, ..last.clone() };
            let past = Arc::make_mut(&mut past);
            past.last_drift = Some(Box::new(drift.clone()));
            past.recent_drifts.push(drift);
        }
        if status.changes.iter().any(|change| change.number == 0) {
            let changes = Arc::make_mut(&mut past).changes.iter_mut().rev();
            changes.zip(1..).for_each(|(change, number)| change.number = number);
        }
        Self { past, is_drift_open: is_drift_open(status) }
    }

    /// Writes the past into a status.
    pub fn write_to(&self, status: &mut ReplicaCountStatus) {
        status.drifts = self.past.drifts;
        status.last_drift = self.past.last_drift.clone();
        status.recent_drifts = self.past.recent_drifts.clone();
        status.drifters = self.past.drifters.clone();
        status.changes = self.past.changes.clone();
        status.attempts = self.past.attempts;
        status.last_attempt = self.past.last_attempt.clone();
    }

    /// Shares the memory of a status that shows the same past.
    pub fn share(&mut self, status: &Arc<ReplicaCountStatus>) {
        let parts = |status: &ReplicaCountStatus| {
            let ReplicaCountStatus { drifts, last_drift, recent_drifts, drifters, changes, .. } = status.clone();
            (drifts, last_drift, recent_drifts, drifters, changes, status.attempts, status.last_attempt.clone())
        };
        if Arc::ptr_eq(&self.past, status) || parts(&self.past) == parts(status) {
            self.past = status.clone();
        }
    }

    /// The latest drift, if it may still be put back.
    pub fn open_drift(&self) -> Option<&Drift> {
        self.past.last_drift.as_deref().filter(|_| self.is_drift_open)
    }

    /// Whether a change at this time or later replaced this count as the desired one.
    pub fn was_desired_after(&self, count: i32, time: Timestamp) -> bool {
        self.past.changes.iter().any(|change| change.from == Some(count) && change.at.0 >= time)
    }

    /// The latest drift by a manager.
    pub fn latest_by(&self, manager: &str) -> Option<&Drift> {
        self.past.recent_drifts.iter().find(|drift| *drift.manager == *manager)
    }

    /// The latest change to a count that is earlier than a time.
    pub fn latest_change_to(&self, count: i32, before: Timestamp) -> Option<&Change> {
        self.past.changes.iter().find(|change| change.to == count && change.from != Some(count) && change.at.0 < before)
    }

    /// The latest change.
    pub fn latest_change(&self) -> Option<&Change> {
        self.past.changes.first()
    }

    /// The latest change of one of these fields.
    pub fn latest_change_in(&self, fields: [&str; 2]) -> Option<&Change> {
        self.past.changes.iter().find(|change| fields.contains(&&*change.field))
    }

    /// Adds a drift.
    pub fn add_drift(&mut self, drift: &Drift) {
        let past = Arc::make_mut(&mut self.past);
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
        self.is_drift_open = true;
    }

    /// Ends the latest drift: the desired count is in place again.
    pub fn end_drift(&mut self, ended: &Drift) {
        self.is_drift_open = false;
        let past = Arc::make_mut(&mut self.past);
        let drifts = past.recent_drifts.iter_mut().chain(past.last_drift.as_deref_mut());
        let same = drifts.filter(|drift| drift.number == ended.number);
        same.for_each(|drift| drift.corrected_at.clone_from(&ended.corrected_at));
    }

    /// Leaves the latest drift as it is: another count is desired, or the target is another object. So nothing puts it
    /// back any more.
    pub fn leave_drift(&mut self) {
        self.is_drift_open = false;
    }

    /// Adds prevented changes of the count: how many, and the latest.
    pub fn add_attempts(&mut self, number: i64, last: Attempt) {
        let past = Arc::make_mut(&mut self.past);
        // A status may hold any number.
        past.attempts = past.attempts.saturating_add(number);
        past.last_attempt = Some(Box::new(last));
    }

    /// Adds a change of the spec.
    pub fn add_change(&mut self, change: Change) {
        let changes = &mut Arc::make_mut(&mut self.past).changes;
        let number = changes.first().map_or(0, |latest| latest.number).saturating_add(1);
        changes.insert(0, Change { number, ..change });
        changes.truncate(MAX_CHANGES);
    }
}

/// Whether the latest drift of a status may still be put back. A status does not say whether a change of the lasting
/// count changed the desired one, too: an override may have been in force. In doubt the drift is left as it is.
fn is_drift_open(status: &ReplicaCountStatus) -> bool {
    let Some(drift) = status.last_drift.as_deref().filter(|drift| drift.corrected_at.is_none()) else { return false };
    // A drift that was put back would say so.
    let is_left = status.desired.is_none() || status.observed == status.desired;
    let is_later = |change: &Change| change.at.0 > drift.at.0 && change.from != Some(change.to);
    !is_left && !status.changes.iter().any(is_later)
}
