//! The past of one managed target, as its status tells it: drifts, who caused them, and changes of the desired count.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::api::{Change, Drift, Drifter, ReplicaCountStatus, Writer};

/// How many actors the status names.
const MAX_DRIFTERS: usize = 5;

/// How many changes of the desired count the status names.
const MAX_CHANGES: usize = 10;

/// The past of one managed target.
#[derive(Debug)]
pub struct History {
    drifts: i64,
    last_drift: Option<Drift>,
    drifters: Vec<Drifter>,
    changes: Vec<Change>,
    /// The drift that has ended and was not told of yet.
    ended: Option<Drift>,
}

impl History {
    /// The past that a status tells.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        Self {
            drifts: status.drifts,
            last_drift: status.last_drift.clone(),
            drifters: status.drifters.clone(),
            changes: status.changes.clone(),
            ended: None,
        }
    }

    /// Tells it in a status.
    pub fn write_to(&self, status: &mut ReplicaCountStatus) {
        status.drifts = self.drifts;
        status.last_drift = self.last_drift.clone();
        status.drifters = self.drifters.clone();
        status.changes = self.changes.clone();
    }

    /// Adds a drift.
    pub fn drift(&mut self, writer: Option<&Writer>, from: i32, to: i32, now: Timestamp) -> &Drift {
        let manager = writer.map_or("unknown", |writer| &writer.manager).to_owned();
        // What a status says may be anything.
        self.drifts = self.drifts.saturating_add(1);
        let known = self.drifters.iter().position(|drifter| drifter.manager == manager);
        let count = known.map_or(0, |index| self.drifters.remove(index).count).saturating_add(1);
        self.drifters.insert(0, Drifter { manager: manager.clone(), count, from, to, last: MicroTime(now) });
        self.drifters.truncate(MAX_DRIFTERS);
        self.last_drift.insert(Drift {
            manager,
            operation: writer.map(|writer| writer.operation.to_string()).unwrap_or_default(),
            subresource: writer.filter(|writer| writer.scale).map(|_| "scale".to_owned()).unwrap_or_default(),
            from,
            to,
            at: MicroTime(now),
            corrected_at: None,
        })
    }

    /// Records that the desired count is in place. The answer to a correction and its echo in the watch both say so, in
    /// either order.
    pub fn end_drift(&mut self, now: Timestamp) {
        if let Some(drift) = self.last_drift.as_mut().filter(|drift| drift.corrected_at.is_none()) {
            drift.corrected_at = Some(MicroTime(now));
            self.ended = Some(drift.clone());
        }
    }

    /// The drift that has ended since the last time that this was asked.
    pub fn take_ended(&mut self) -> Option<Drift> {
        self.ended.take()
    }

    /// Adds a change of the desired count.
    pub fn change(&mut self, from: Option<i32>, to: i32, by: String, reason: String, now: Timestamp) {
        self.changes.insert(0, Change { from, to, by, reason, at: MicroTime(now) });
        self.changes.truncate(MAX_CHANGES);
    }
}
