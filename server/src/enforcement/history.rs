//! The past of one managed target, as its status tells it: drifts, who caused them, and changes of the desired count.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::resources::{Change, Drift, Drifter, ReplicaCountStatus, Writer};

/// How many actors the status names.
const MAX_DRIFTERS: usize = 5;

/// How many changes of the desired count the status names.
const MAX_CHANGES: usize = 10;

/// The past of one managed target.
#[derive(Debug)]
pub struct History {
    /// What of it stands in a status. As long as nothing happens, it is the stored one itself, which takes no memory.
    past: Arc<ReplicaCountStatus>,
    /// The drift that has ended and was not told of yet.
    ended: Option<Box<Drift>>,
}

impl History {
    /// The past that a status tells.
    pub fn of(status: &Arc<ReplicaCountStatus>) -> Self {
        Self { past: status.clone(), ended: None }
    }

    /// Tells it in a status.
    pub fn write_to(&self, status: &mut ReplicaCountStatus) {
        status.drifts = self.past.drifts;
        status.last_drift = self.past.last_drift.clone();
        status.drifters = self.past.drifters.clone();
        status.changes = self.past.changes.clone();
    }

    /// Makes a status that tells the same the one that this is kept in.
    pub fn keep_in(&mut self, status: &Arc<ReplicaCountStatus>) {
        let past = &self.past;
        if (past.drifts, &past.last_drift, &past.drifters, &past.changes)
            == (status.drifts, &status.last_drift, &status.drifters, &status.changes)
        {
            self.past = status.clone();
        }
    }

    /// Adds a drift.
    pub fn drift(&mut self, writer: Option<&Writer>, from: i32, to: i32, now: Timestamp) -> &Drift {
        let manager = writer.map_or("unknown", |writer| &*writer.manager).to_owned();
        let past = Arc::make_mut(&mut self.past);
        // What a status says may be anything.
        past.drifts = past.drifts.saturating_add(1);
        let known = past.drifters.iter().position(|drifter| drifter.manager == manager);
        let count = known.map_or(0, |index| past.drifters.remove(index).count).saturating_add(1);
        past.drifters.insert(0, Drifter { manager: manager.clone(), count, from, to, last: MicroTime(now) });
        past.drifters.truncate(MAX_DRIFTERS);
        past.last_drift.insert(Drift {
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
        if self.past.last_drift.as_ref().is_none_or(|drift| drift.corrected_at.is_some()) {
            return;
        }
        if let Some(drift) = &mut Arc::make_mut(&mut self.past).last_drift {
            drift.corrected_at = Some(MicroTime(now));
            self.ended = Some(Box::new(drift.clone()));
        }
    }

    /// The drift that has ended since the last time that this was asked.
    pub fn take_ended(&mut self) -> Option<Drift> {
        self.ended.take().map(|drift| *drift)
    }

    /// Adds a change of the desired count.
    pub fn change(&mut self, from: Option<i32>, to: i32, by: String, reason: String, now: Timestamp) {
        let changes = &mut Arc::make_mut(&mut self.past).changes;
        changes.insert(0, Change { from, to, by, reason, at: MicroTime(now) });
        changes.truncate(MAX_CHANGES);
    }
}
