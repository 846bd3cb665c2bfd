//! Webhooks that are taken out, and put back.

use super::Executor;
use crate::enforcement::{lane::Lane, observation::Now};

impl Executor {
    /// Takes in what the webhooks can do at most, for all targets at once. If a configuration is there again, each
    /// namespace and kind is probed anew.
    pub(super) fn take_configured(&mut self) {
        let configured = *self.configured.borrow_and_update();
        if self.admissions.set_configured(configured) {
            let groups: Vec<_> = self.admissions.groups().cloned().collect();
            groups.into_iter().for_each(|group| self.probes.add(group, Lane::Healthy));
            return;
        }
        let keys: Vec<_> = self.targets.keys().cloned().collect();
        for key in keys {
            let Some(target) = self.targets.get_mut(&key) else { continue };
            let admission = self.admissions.as_configured(target.observation.admission);
            if target.observation.admission != admission {
                target.observation.admission = admission;
                self.reconcile(key, Now::read());
            }
        }
    }
}
