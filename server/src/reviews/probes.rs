//! The probes of the webhooks: the leader sends a dry run, and sees whether it arrives at its own endpoint.

use std::collections::VecDeque;

use crate::resources::Uid;

/// How many probes are kept, far more than are under way (enforcement's `pace`). Those of an ended term are pushed out.
const MAX: usize = 64;

/// Which webhooks have reviewed a dry run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// The validating one, for `/scale`.
    pub is_validated: bool,
    /// The mutating one, for the target itself.
    pub is_mutated: bool,
}

/// The probes that are under way, the oldest first. Each is of another target.
#[derive(Debug, Default)]
pub(super) struct Probes(VecDeque<(Uid, Probed)>);

impl Probes {
    /// Begins a probe of the target with this UID.
    pub(super) fn begin(&mut self, uid: Uid) {
        self.end(&uid);
        self.0.push_back((uid, Probed::default()));
        if self.0.len() > MAX {
            self.0.pop_front();
        }
    }

    /// Takes in a dry run. Who sent it does not matter: it shows that the webhook is in force.
    pub(super) fn add(&mut self, uid: &Uid, is_mutating: bool) {
        let Some((_, probed)) = self.0.iter_mut().find(|(expected, _)| expected == uid) else { return };
        if is_mutating {
            probed.is_mutated = true;
        } else {
            probed.is_validated = true;
        }
    }

    /// Ends the probe of a target, and returns what has arrived.
    pub(super) fn end(&mut self, uid: &Uid) -> Probed {
        let ended = self.0.iter().position(|(known, _)| known == uid).and_then(|place| self.0.remove(place));
        ended.map(|(_, probed)| probed).unwrap_or_default()
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
            let (mut probes, uid) = (Probes::default(), Uid::from("u"));
            probes.add(&uid, true);
            // The end of its term has cut this one off.
            probes.begin(uid.clone());
            probes.add(&uid, true);
            probes.begin(uid.clone());
            probes.begin("w".into());
            dry_runs.iter().for_each(|(uid, is_mutating)| probes.add(&Uid::from(*uid), *is_mutating));
            assert_eq!(probes.end(&"w".into()), Probed::default(), "{name}: another probe at the same time");
            assert_eq!(probes.end(&uid), Probed { is_validated, is_mutated }, "{name}");
            probes.add(&uid, true);
            assert_eq!(probes.end(&uid), Probed::default(), "{name}: it is over");
        }
    }

    #[test]
    fn probes_that_were_cut_off_are_pushed_out() {
        let mut probes = Probes::default();
        for number in 0..2 * MAX {
            probes.begin(Uid::from(&*number.to_string()));
        }
        assert_eq!(probes.0.len(), MAX);
    }
}
