//! What admission does for the targets of each kind in each namespace: which are to be probed next, and what probes have
//! shown in this term.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{lane::Lane, targets::ManagedTarget, writes::ProbeAnswer};
use crate::{
    resources::TargetKey,
    reviews::{Admission, AdmissionMode},
};

/// How far apart probes are at most. Each is two dry runs.
const PACE: Duration = Duration::from_secs(1);

/// How long the result of a probe counts.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How soon a probe that was not as expected is repeated: the leader may just have begun its term, and the API server
/// needs a moment for a new configuration of webhooks. A single review may also have been lost.
const SOON: Duration = Duration::from_secs(3);

/// A result that is worse than expected counts from this probe in a row on.
const DOUBTED: u32 = 3;

/// The pause after that one, in case the configuration of webhooks took longer.
const LATER: Duration = Duration::from_secs(30);

/// The pause after a probe that showed nothing. It doubles with each in a row that got no answer.
const UNANSWERED: Duration = Duration::from_secs(10);

/// The longest such pause, as after a correction without an answer.
const UNANSWERED_MAX: Duration = Duration::from_secs(60);

/// After this many unanswered probes in a row, the targets count as neither: users' writes hang as well.
const GIVEN_UP: u32 = 3;

/// What is known of each namespace and kind.
pub struct Admissions {
    mode: AdmissionMode,
    /// What the webhooks can do at most.
    configured: Admission,
    /// By the key of a target without its name.
    known: HashMap<TargetKey, Known>,
    /// When the next probe may begin.
    next: Instant,
}

/// What is known of one namespace and kind.
struct Known {
    /// The target to probe.
    sample: TargetKey,
    /// The result.
    found: Option<Admission>,
    /// How many probes in a row were not as expected.
    misses: u32,
    /// How many probes in a row got no answer.
    unanswered: u32,
}

impl Known {
    /// Nothing is known but a target to probe.
    fn new(sample: TargetKey) -> Self {
        Self { sample, found: None, misses: 0, unanswered: 0 }
    }
}

/// A namespace and a kind: the key of a target without its name.
fn group_of(key: &TargetKey) -> TargetKey {
    TargetKey { name: "".into(), ..key.clone() }
}

impl Admissions {
    /// Nothing is known yet.
    pub fn new(mode: AdmissionMode) -> Self {
        Self { mode, configured: Admission::Guarded, known: HashMap::new(), next: Instant::now() }
    }

    /// Takes in a state of a target, and adds to it what is known. Returns the namespace and kind to probe, if they are
    /// new.
    pub fn observe(&mut self, key: &TargetKey, target: &mut ManagedTarget) -> Option<TargetKey> {
        if !self.mode.is_on() {
            return None;
        }
        let group = group_of(key);
        let can_be_probed = target.observation.target.is_some() && target.observation.kind.known().is_some();
        let is_new = can_be_probed && !self.known.contains_key(&group);
        if can_be_probed {
            self.known.entry(group.clone()).or_insert_with(|| Known::new(key.clone())).sample = key.clone();
        }
        let found = self.known.get(&group).and_then(|known| known.found);
        let known = found.or_else(|| self.of_status(&target.observation.count.status.admission));
        target.observation.admission = self.as_configured(known);
        is_new.then_some(group)
    }

    /// Takes in what the webhooks can do at most. Returns whether probes have to show anew what they do: always, unless they
    /// can do less than before.
    pub fn set_configured(&mut self, configured: Admission) -> bool {
        let needs_probes = configured >= self.configured;
        self.configured = configured;
        for known in self.known.values_mut() {
            known.found = known.found.map(|found| found.min(configured));
            known.misses = 0;
        }
        needs_probes
    }

    /// What admission does for a target, as far as the webhooks are configured.
    pub fn as_configured(&self, known: Option<Admission>) -> Option<Admission> {
        known.map(|known| known.min(self.configured))
    }

    /// The namespaces and kinds that are probed.
    pub fn groups(&self) -> impl Iterator<Item = &TargetKey> {
        self.known.keys()
    }

    /// What an earlier term has found out. Without that, a guard is still to be tested, and nothing else is expected.
    fn of_status(&self, admission: &str) -> Option<Admission> {
        let known = [Admission::Guarded, Admission::Recorded].into_iter().find(|known| known.label() == admission);
        match self.mode {
            AdmissionMode::Guard => known,
            _ => Some(known.unwrap_or_default()),
        }
    }

    /// The target to probe for a namespace and kind.
    pub fn sample(&self, group: &TargetKey) -> Option<&TargetKey> {
        self.known.get(group).map(|known| &known.sample)
    }

    /// Chooses another target to probe, or forgets the namespace and kind if there is none.
    pub fn replace_sample(&mut self, group: &TargetKey, sample: Option<TargetKey>) {
        match (sample, self.known.get_mut(group)) {
            (Some(sample), Some(known)) => known.sample = sample,
            (None, _) => drop(self.known.remove(group)),
            (Some(_), None) => {}
        }
    }

    /// When a probe that is started now may begin, so that probes are some time apart. If there are many namespaces and
    /// kinds, they are closer, so that the probes of all fit into half of the time for which a result counts.
    pub fn take_turn(&mut self, now: Instant) -> Instant {
        let known = u32::try_from(self.known.len()).unwrap_or(u32::MAX).max(1);
        let begins = self.next.max(now);
        self.next = begins + PACE.min(INTERVAL / 2 / known);
        begins
    }

    /// The lane of the next probe for a namespace and kind. Usually a webhook for the whole namespace hangs.
    pub fn lane(&self, group: &TargetKey) -> Lane {
        let mut others = self.known.iter().filter(|(other, _)| other.namespace == group.namespace);
        Lane::of(others.any(|(_, known)| known.unanswered > 0))
    }

    /// Takes in the answer of a probe. Returns the result if it has changed, and the time until the next probe.
    pub fn answered(&mut self, group: &TargetKey, answer: ProbeAnswer) -> (Option<Admission>, Duration) {
        let expected = if self.mode == AdmissionMode::Guard { Admission::Guarded } else { Admission::Recorded };
        let Some(known) = self.known.get_mut(group) else { return (None, INTERVAL) };
        let found = match answer {
            ProbeAnswer::Found(found) => found.min(self.configured),
            ProbeAnswer::NoAnswer => {
                let pause = UNANSWERED.saturating_mul(2_u32.saturating_pow(known.unanswered)).min(UNANSWERED_MAX);
                known.unanswered = known.unanswered.saturating_add(1);
                let given_up = Some(Admission::Neither).filter(|_| known.unanswered >= GIVEN_UP);
                let changed = given_up.filter(|given_up| known.found != Some(*given_up));
                known.found = given_up.or(known.found);
                return (changed, pause);
            }
            ProbeAnswer::Undecided => return (None, UNANSWERED),
        };
        known.unanswered = 0;
        known.misses = if found == expected { 0 } else { known.misses.saturating_add(1) };
        let after = match known.misses {
            1..DOUBTED => return (None, SOON),
            DOUBTED => LATER,
            _ => INTERVAL,
        };
        let changed = Some(found).filter(|_| known.found != Some(found));
        known.found = Some(found);
        (changed, after)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ProbeAnswer::{Found, NoAnswer, Undecided},
        *,
    };
    use crate::resources::fixtures::deployment_key;

    fn known(mode: AdmissionMode) -> (Admissions, TargetKey) {
        let (mut admissions, key) = (Admissions::new(mode), deployment_key("web"));
        let group = group_of(&key);
        admissions.known.insert(group.clone(), Known::new(key));
        (admissions, group)
    }

    #[tokio::test]
    async fn a_result_that_is_worse_than_expected_counts_once_it_is_repeated() {
        use Admission::{Guarded, Neither, Recorded};
        struct Row {
            name: &'static str,
            answer: ProbeAnswer,
            /// What changes, and the seconds until the next probe.
            expected: (Option<Admission>, u64),
        }
        let (mut admissions, group) = known(AdmissionMode::Guard);
        for row in [
            Row { name: "the configuration is not there yet", answer: Found(Neither), expected: (None, 3) },
            Row { name: "no answer", answer: NoAnswer, expected: (None, 10) },
            Row { name: "in force", answer: Found(Guarded), expected: (Some(Guarded), 300) },
            Row { name: "still in force", answer: Found(Guarded), expected: (None, 300) },
            Row { name: "the API server is busy", answer: Undecided, expected: (None, 10) },
            Row { name: "still busy", answer: Undecided, expected: (None, 10) },
            Row { name: "busy for the third time", answer: Undecided, expected: (None, 10) },
            Row { name: "one review was lost", answer: Found(Neither), expected: (None, 3) },
            Row { name: "in force after all", answer: Found(Guarded), expected: (None, 300) },
            Row { name: "taken out", answer: Found(Recorded), expected: (None, 3) },
            Row { name: "again", answer: Found(Recorded), expected: (None, 3) },
            Row { name: "for the third time", answer: Found(Recorded), expected: (Some(Recorded), 30) },
            Row { name: "for good", answer: Found(Recorded), expected: (None, 300) },
            Row { name: "taken out altogether", answer: Found(Neither), expected: (Some(Neither), 300) },
            Row { name: "in force again", answer: Found(Guarded), expected: (Some(Guarded), 300) },
            Row { name: "it hangs", answer: NoAnswer, expected: (None, 10) },
            Row { name: "for the second time", answer: NoAnswer, expected: (None, 20) },
            Row { name: "the target is gone", answer: Undecided, expected: (None, 10) },
            Row { name: "given up", answer: NoAnswer, expected: (Some(Neither), 40) },
            Row { name: "it still hangs", answer: NoAnswer, expected: (None, 60) },
            Row { name: "answered", answer: Found(Guarded), expected: (Some(Guarded), 300) },
            Row { name: "it hangs again", answer: NoAnswer, expected: (None, 10) },
        ] {
            let (changed, after) = admissions.answered(&group, row.answer);
            assert_eq!((changed, after.as_secs()), row.expected, "{}", row.name);
        }
        let (mut admissions, group) = known(AdmissionMode::Record);
        assert_eq!(admissions.answered(&group, Found(Recorded)).0, Some(Recorded), "no mode but guard guards");
    }

    #[tokio::test]
    async fn nothing_counts_that_needs_a_configuration_which_is_gone() {
        use Admission::{Guarded, Neither, Recorded};
        for (name, configured, found, expected) in [
            ("all are there", Guarded, Guarded, Some(Guarded)),
            ("the mutating one is gone", Recorded, Guarded, Some(Recorded)),
            ("the mutating one is gone, and nothing arrived", Recorded, Neither, Some(Neither)),
            ("the validating one is gone", Neither, Guarded, Some(Neither)),
        ] {
            let (mut admissions, group) = known(AdmissionMode::Guard);
            let probe = |admissions: &mut Admissions| {
                for _ in 0..DOUBTED {
                    admissions.answered(&group, Found(found));
                }
            };
            probe(&mut admissions);
            admissions.set_configured(configured);
            assert_eq!(admissions.known[&group].found, expected, "{name}");
            assert_eq!(admissions.as_configured(Some(found)), expected, "{name}: a target");
            // A dry run may have been under way.
            probe(&mut admissions);
            assert_eq!(admissions.known[&group].found, expected, "{name}: after a probe");
            admissions.set_configured(Guarded);
            assert_eq!(admissions.answered(&group, Found(Guarded)).1, INTERVAL, "{name}: configured again");
            assert_eq!(admissions.known[&group].found, Some(Guarded), "{name}: configured again");
        }
    }

    #[tokio::test]
    async fn webhooks_are_probed_anew_unless_they_can_do_less() {
        use Admission::{Guarded, Neither, Recorded};
        for (name, before, after, expected) in [
            ("the mutating one is gone", Guarded, Recorded, false),
            ("the validating one is gone", Guarded, Neither, false),
            ("the validating one is gone, too", Recorded, Neither, false),
            ("the validating one is back", Neither, Recorded, true),
            ("the mutating one is back", Recorded, Guarded, true),
            ("both are back", Neither, Guarded, true),
            ("one was gone and is back", Guarded, Guarded, true),
        ] {
            let (mut admissions, _) = known(AdmissionMode::Guard);
            admissions.set_configured(before);
            assert_eq!(admissions.set_configured(after), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_namespace_whose_probe_got_no_answer_is_in_the_failing_lane() {
        let (mut admissions, group) = known(AdmissionMode::Guard);
        let of_kind = |namespace: &str, kind: &str| group_of(&TargetKey::new(namespace, "", kind, "web").unwrap());
        let (same, other) = (of_kind("shop", "StatefulSet"), of_kind("bank", "Deployment"));
        for (name, answer, expected) in [
            ("answered", Found(Admission::Guarded), Lane::Healthy),
            ("the API server is busy", Undecided, Lane::Healthy),
            ("no answer", NoAnswer, Lane::Failing),
            ("again", NoAnswer, Lane::Failing),
            ("the API server is busy again", Undecided, Lane::Failing),
            ("answered again", Found(Admission::Neither), Lane::Healthy),
        ] {
            admissions.answered(&group, answer);
            assert_eq!((admissions.lane(&group), admissions.lane(&same)), (expected, expected), "{name}");
            assert_eq!(admissions.lane(&other), Lane::Healthy, "{name}: another namespace");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn probes_are_a_second_apart_or_so_close_that_all_are_made_in_time() {
        struct Row {
            name: &'static str,
            /// How many namespaces and kinds there are.
            known: usize,
            /// How far apart the probes are, in milliseconds.
            apart: u64,
        }
        for row in [
            Row { name: "none", known: 0, apart: 1000 },
            Row { name: "one", known: 1, apart: 1000 },
            Row { name: "as many as fit", known: 150, apart: 1000 },
            Row { name: "twice as many", known: 300, apart: 500 },
            Row { name: "thousands", known: 3000, apart: 50 },
        ] {
            let (mut admissions, start) = (Admissions::new(AdmissionMode::Guard), Instant::now());
            for number in 0..row.known {
                let key = deployment_key(&number.to_string());
                admissions.known.insert(key.clone(), Known::new(key));
            }
            let nows = [start, start, start + Duration::from_millis(10)];
            let begins = nows.map(|now| admissions.take_turn(now) - start);
            let apart = Duration::from_millis(row.apart);
            assert_eq!(begins, [Duration::ZERO, apart, apart * 2], "{}", row.name);
            let later = start + Duration::from_secs(60);
            assert_eq!(admissions.take_turn(later), later, "{} later", row.name);
        }
    }

    #[test]
    fn a_term_begins_with_what_the_status_shows() {
        use Admission::{Guarded, Neither, Recorded};
        for (status, guard, warn) in [
            ("guarded", Some(Guarded), Some(Guarded)),
            ("recorded", Some(Recorded), Some(Recorded)),
            ("", None, Some(Neither)),
            ("nonsense", None, Some(Neither)),
        ] {
            for (mode, expected) in [(AdmissionMode::Guard, guard), (AdmissionMode::Warn, warn)] {
                let admissions = Admissions::new(mode);
                assert_eq!(admissions.of_status(status), expected, "{status} in mode {}", mode.label());
            }
        }
    }
}
