//! Which writes to a target have to wait after failures, and in which lane.

use std::time::Duration;

use super::Memory;
use crate::enforcement::{
    failure::{CONFLICT_PAUSES, Cause, Failure},
    lane::Lane,
    observation::{Now, Observation},
};

/// How long a refused status write counts. A status that is refused again within this time has to wait.
const CONFLICTS_WINDOW: Duration = Duration::from_secs(2 * 60);

impl Memory {
    /// Whether a state ends the pause after failed corrections: there was a Set, or there is a new spec, another desired
    /// count or another target of the same name.
    pub fn is_forgiven(&self, observation: &Observation) -> bool {
        let count = &observation.count;
        count.generation != self.generation
            || count.set_at != self.set_at
            || self.desired_of(count, observation.at) != self.desired
            || observation.target.as_ref().is_some_and(|target| !self.is_known(target))
    }

    /// Whether the target has changed since admission changed our last correction. Then another attempt may succeed,
    /// and it does not wait for the pause.
    pub fn is_worth_a_try(&self, observation: &Observation) -> bool {
        let is_changed = self.correction_failure.as_ref().is_some_and(|failure| failure.cause == Cause::Changed);
        let version = observation.target.as_ref().map_or(0, |target| target.resource_version);
        is_changed && self.changed_count.is_some_and(|changed| version > changed.version)
    }

    /// Records a status write that met a newer object. The first one in a row is retried at once, because a single
    /// conflict is normal. Further ones within 2 minutes wait longer each time.
    pub(super) fn record_conflict(&mut self, now: Now) {
        let is_recent = |before: &&Failure| before.retry_at + CONFLICTS_WINDOW > now.monotonic;
        let before = self.status_conflict.as_deref().filter(is_recent);
        let error = "the object is newer";
        let mut conflict = Failure::next(before, Cause::ApiServer, error, &CONFLICT_PAUSES, now.monotonic);
        if conflict.attempts == 1 {
            conflict.retry_at = now.monotonic;
        }
        self.status_conflict = Some(conflict);
    }

    /// The lane of the target's corrections.
    pub fn correction_lane(&self) -> Lane {
        Lane::of(self.is_failing)
    }

    /// The lane of its status writes.
    pub fn status_lane(&self) -> Lane {
        lane_after(self.status_failure.as_deref())
    }

    /// The lane of its patches of ownership.
    pub fn ownership_lane(&self) -> Lane {
        lane_after(self.ownership_failure.as_deref())
    }

    /// The time until the status may be written, after failures and conflicts.
    pub fn status_pause(&self, now: Now) -> Duration {
        let failures = [&self.status_failure, &self.status_conflict].into_iter().flatten();
        failures.map(|failure| failure.pause(now.monotonic)).max().unwrap_or_default()
    }

    /// The time until ownership may be given back, after failures.
    pub fn ownership_pause(&self, now: Now) -> Duration {
        self.ownership_failure.as_ref().map(|failure| failure.pause(now.monotonic)).unwrap_or_default()
    }
}

fn lane_after(failure: Option<&Failure>) -> Lane {
    Lane::of(failure.is_some_and(|failure| failure.cause.is_of_target()))
}
