//! Webhooks that are taken out, and put back.

use super::Executor;
use crate::enforcement::observation::Now;

impl Executor {
    /// Takes in what the webhooks can do at most, for all targets at once. If all of them are configured again, each
    /// namespace and kind is probed anew.
    pub(super) fn take_limit(&mut self) {
        let limit = *self.limits.borrow_and_update();
        self.admissions.limit(limit);
        if limit.is_none() {
            let groups: Vec<_> = self.admissions.groups().cloned().collect();
            for group in groups {
                let lane = self.admissions.lane(&group);
                self.probes.add(group, lane);
            }
            return;
        }
        let keys: Vec<_> = self.targets.keys().cloned().collect();
        for key in keys {
            let Some(target) = self.targets.get_mut(&key) else { continue };
            let limited = self.admissions.limited(target.observation.admission);
            if target.observation.admission != limited {
                target.observation.admission = limited;
                self.reconcile(key, Now::read());
            }
        }
    }
}
