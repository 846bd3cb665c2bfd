//! The probe of the webhooks: the leader sends a dry run, and sees whether it arrives at its own endpoint.

use crate::resources::Uid;

/// Which webhooks have reviewed a dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// The validating one, for `/scale`.
    pub is_validated: bool,
    /// The mutating one, for the target itself.
    pub is_mutated: bool,
}

/// The probe that is under way. There is one at a time.
#[derive(Debug, Default)]
pub(super) struct Probe(Option<(Uid, Probed)>);

impl Probe {
    /// Begins a probe of the target with this UID.
    pub(super) fn begin(&mut self, uid: Uid) {
        self.0 = Some((uid, Probed::default()));
    }

    /// Takes in a dry run. Who sent it does not matter: it shows that the webhook is in force.
    pub(super) fn add(&mut self, uid: &Uid, is_mutating: bool) {
        match &mut self.0 {
            Some((expected, probed)) if expected == uid && is_mutating => probed.is_mutated = true,
            Some((expected, probed)) if expected == uid => probed.is_validated = true,
            _ => {}
        }
    }

    /// Ends the probe, and returns what has arrived.
    pub(super) fn end(&mut self) -> Probed {
        self.0.take().map(|(_, probed)| probed).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_sees_the_dry_runs_of_its_target_alone() {
        for (name, dry_runs, is_validated, is_mutated) in [
            ("none", &[][..], false, false),
            ("of /scale", &[("u", false)][..], true, false),
            ("of the target itself", &[("u", true)], false, true),
            ("both", &[("u", false), ("u", true), ("u", true)], true, true),
            ("of another target", &[("v", false), ("v", true)], false, false),
        ] {
            let mut probe = Probe::default();
            probe.add(&Uid::from("u"), true);
            probe.begin("u".into());
            dry_runs.iter().for_each(|(uid, is_mutating)| probe.add(&Uid::from(*uid), *is_mutating));
            assert_eq!(probe.end(), Probed { is_validated, is_mutated }, "{name}");
            probe.add(&Uid::from("u"), true);
            assert_eq!(probe.end(), Probed::default(), "{name}: it is over");
        }
    }
}
