//! Logs and counts what was found out, and keeps the Events about it until they are written.

use tracing::{info, warn};

use super::{Executor, admission::named};
use crate::{
    enforcement::{
        decision::{Decision, PendingEvents},
        writes::Regarding,
    },
    resources::TargetKey,
    telemetry::Actor,
};

impl Executor {
    /// Logs and counts what was found out.
    pub(super) fn report(&self, key: &TargetKey, decision: &Decision) {
        if let Some(drift) = &decision.drift {
            self.metrics.drifted(Actor::of(&drift.manager, &drift.subresource));
            let user = named(&drift.user);
            info!(target = %key, user, manager = &*drift.manager, operation = &*drift.operation,
                subresource = &*drift.subresource, from = drift.from, to = drift.to, "drift");
        }
        if let Some(drift) = &decision.ended_drift {
            let took = drift.corrected_at.as_ref().map(|end| end.0.duration_since(drift.at.0)).unwrap_or_default();
            self.metrics.correction_seconds.observe(took.as_secs_f64());
            let to = decision.events.put_back.as_ref().map(|(_, to)| *to);
            let (user, took_ms) = (named(&drift.user), took.as_millis_f64());
            info!(target = %key, user, manager = &*drift.manager, from = drift.to, to, took_ms, "put back");
        }
        if let Some(contested) = &decision.events.contested {
            warn!(target = %key, reason = contested.reason, problem = contested.message, "contested");
        }
        self.report_admission(key, decision);
    }

    /// Adds to the Events that wait to be written. Events of an earlier object of the same name are dropped.
    pub(super) fn add_events(&mut self, key: TargetKey, regarding: Regarding, events: PendingEvents) {
        let pending = self.events.entry(key).or_insert_with(|| (regarding.clone(), PendingEvents::default()));
        if pending.0 != regarding {
            *pending = (regarding, PendingEvents::default());
        }
        pending.1.merge(events);
    }
}
