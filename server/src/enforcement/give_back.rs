//! Which ownership is to be given back to the appliers, and how long the management lasts for that.

use std::time::Duration;

use super::{
    appliers::Appliers,
    assessment::Assessment,
    decision::{Decision, GiveBack},
    failure::Failure,
    memory::{Memory, Started},
    observation::{Now, Observation},
};
use crate::{index::KindState, resources::Uid};

/// How long the end of the management waits for a give-back: long enough for a second attempt. Unset waits 17 s for the
/// end, and some of that may be needed for a new leader.
const LONGEST_END: Duration = Duration::from_secs(5);

/// A give-back to a target that is not managed any more.
pub struct FinalGiveBack {
    /// The UID of its `ReplicaCount`.
    pub uid: Uid,
    /// What is to be given back.
    pub give_back: GiveBack,
    /// Whether an attempt has started. Until then, an answer is that to a give-back from before the end.
    pub is_started: bool,
    /// The failed attempts.
    pub failure: Option<Box<Failure>>,
}

/// The ownership to give back: once the count is in place, and before the management ends. An object that waits for a
/// finalizer manages nothing any more, so what is left to give back is due at once.
pub fn give_back(observation: &Observation, memory: &Memory, decision: &Decision, now: Now) -> Option<GiveBack> {
    let (target, appliers) = (observation.target.as_ref()?, decision.appliers_or(&memory.appliers));
    let is_left = observation.count.deleting && is_pending(observation, memory, appliers);
    let is_due = observation.gives_back
        && (is_left || matches!(decision.assessment, Assessment::InPlace | Assessment::Ending))
        && target.resource_version >= newest(memory)
        && appliers.are_missing_in(&target.owners);
    if is_due { GiveBack::of(observation, appliers, memory.ownership_pause(now)) } else { None }
}

/// Lets the management last until the appliers have the count back, but not for long. Returns the time that is left.
pub fn delay_end(observation: &Observation, memory: &Memory, decision: &mut Decision, now: Now) -> Option<Duration> {
    if decision.assessment != Assessment::Unset {
        // A drift meanwhile does not start the time anew. Otherwise an actor that writes again and again would delay the
        // end of a restore for ever.
        decision.ending_since = memory.ending_since.filter(|_| observation.count.restoring().is_some());
        return None;
    }
    let appliers = decision.appliers_or(&memory.appliers);
    let since = memory.ending_since.unwrap_or(now.monotonic);
    let left = LONGEST_END.saturating_sub(now.monotonic.saturating_duration_since(since));
    let is_delayed = !left.is_zero() && is_pending(observation, memory, appliers);
    // A deletion that fails is tried again without another delay.
    decision.ending_since = Some(since);
    if is_delayed {
        decision.assessment = Assessment::Ending;
    }
    is_delayed.then_some(left)
}

/// Whether an applier may still have to get the count back.
pub fn is_pending(observation: &Observation, memory: &Memory, appliers: &Appliers) -> bool {
    let (KindState::Watched(_), Some(target)) = (&observation.kind, &observation.target) else { return false };
    if !observation.gives_back || target.deleting || appliers.recipients().is_empty() {
        return false;
    }
    // A correction that is under way takes the count once more.
    if matches!(memory.correcting, Some(Started::Scale(_))) {
        return true;
    }
    if target.resource_version >= newest(memory) {
        return appliers.are_missing_in(&target.owners);
    }
    // The newest state is not seen yet. Only an answer shows that its owners are right.
    memory.owners_right_at < Some(corrected(memory).max(memory.owners_outdated_at))
}

/// The first resource version of the target that shows who owns the count now.
fn newest(memory: &Memory) -> u64 {
    let after_answer = memory.owners_right_at.map_or(0, |version| version.saturating_add(1));
    corrected(memory).max(after_answer).max(memory.owners_outdated_at)
}

/// The resource version of the target with our latest correction.
fn corrected(memory: &Memory) -> u64 {
    memory.last_correction.map_or(0, |last| last.version)
}
