//! What takes back the change of one target, unless somebody has changed it since.

use contract::replicas::v1::{ReplicaCount, SetReplicaCountRequest};
use jiff::Timestamp;

use super::operation::{Held, State, TargetChange};
use crate::{
    program,
    spec::Spec,
    target, terminal,
    time::{distance, from_proto},
};

/// The requests that take a change back, without a target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reversal {
    /// A Set.
    Set(Box<SetReplicaCountRequest>),
    /// An Unset, which puts the count from before back if it is another one.
    Unset { restore: bool },
    /// No request: the target is as it was before the change.
    Nothing,
}

/// Finds what takes a change back, or says why that must not be done.
///
/// `present` is the target as it was read. It has no counts at all if the target is not managed and the user may not list
/// its kind.
pub(crate) fn of(change: &TargetChange, present: &ReplicaCount, now: Timestamp) -> Result<Reversal, String> {
    let name = target::name(&change.target());
    let held = Spec::of(present);
    if change.is_tried && is_taken_back(&change.before, held.as_ref()) {
        return Ok(Reversal::Nothing);
    }
    match &change.after {
        State::Unknown if is_as_before(&change.before, held.as_ref(), present) => return Ok(Reversal::Nothing),
        State::Unknown => return Err(describe_unanswered(change, held.is_some())),
        State::Managed(after) if !is_as_left(after, held.as_ref(), present) => {
            return Err(format!("{name} {}", describe_change(present, now)));
        }
        State::Unmanaged(_) if held.is_some() => return Err(format!("{name} {}", describe_change(present, now))),
        State::Unmanaged(left) => {
            let moved = present.observed.filter(|observed| !left.is_empty() && !left.contains(observed));
            if let Some(observed) = moved {
                let was = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
                return Err(format!("{name} has {observed} replicas by now, and was left at {was}"));
            }
        }
        State::Managed(_) => {}
    }
    match &change.before {
        State::Unknown => Err(format!("{name}: it could not be read before the change")),
        State::Managed(before) => {
            Ok(Reversal::Set(Box::new(SetReplicaCountRequest {
                expected_replicas: expected_count(&change.after, present),
                // It may be missing now if it was missing before.
                allow_missing: matches!(&change.after, State::Unmanaged(left) if left.is_empty()),
                ..before.spec.request(now)
            })))
        }
        State::Unmanaged(_) => {
            let original = held.as_ref().and_then(|held| held.original_replicas);
            Ok(Reversal::Unset { restore: original.is_some() && original != held.map(|held| held.desired(now)) })
        }
    }
}

/// The count that a target must still have when it is held again: others may change it until then.
fn expected_count(after: &State, present: &ReplicaCount) -> Option<i32> {
    match after {
        State::Unmanaged(left) => present.observed.or_else(|| left.first().copied().filter(|_| left.len() == 1)),
        State::Managed(_) | State::Unknown => None,
    }
}

/// Whether a target is as an operation has left it. The resource version also changes with the status.
fn is_as_left(after: &Held, held: Option<&Spec>, present: &ReplicaCount) -> bool {
    after.resource_version == present.resource_version || held == Some(&after.spec) && after.set_by == present.set_by
}

/// Whether a target is as it was before an operation.
fn is_as_before(before: &State, held: Option<&Spec>, present: &ReplicaCount) -> bool {
    match before {
        State::Unknown => false,
        State::Managed(before) => is_as_left(before, held, present),
        State::Unmanaged(_) => held.is_none(),
    }
}

/// Whether a target is as an undo leaves it. The undo has changed who set the count.
fn is_taken_back(before: &State, held: Option<&Spec>) -> bool {
    match before {
        State::Unknown => false,
        State::Managed(before) => held == Some(&before.spec),
        State::Unmanaged(_) => held.is_none(),
    }
}

/// Says that the result of a change is not known, and which command leads back.
fn describe_unanswered(change: &TargetChange, is_managed: bool) -> String {
    let name = target::name(&change.target());
    let in_namespace = target::in_namespace(&change.target());
    let way = match &change.before {
        State::Unknown => format!("`kubectl replicas history {in_namespace}` shows its changes"),
        State::Managed(before) if is_managed => {
            format!("`kubectl replicas undo {in_namespace} --to {}` goes back", before.spec.replicas)
        }
        // Only a managed target has a history.
        State::Managed(before) => {
            format!("`kubectl replicas set {in_namespace} {}` goes back", before.spec.replicas)
        }
        State::Unmanaged(_) => format!("`kubectl replicas unset {in_namespace} --restore` goes back"),
    };
    let text = format!("{name}: the answer to the change is missing, so its result is not known; {way}");
    program::in_hint(&text)
}

/// Says who has changed a target, and when.
fn describe_change(present: &ReplicaCount, now: Timestamp) -> String {
    let Some(desired) = present.desired else { return "is not managed any more".to_owned() };
    // The status, which has the changes, may be older than the count.
    let latest = present.changes.first().filter(|change| change.to == Some(desired));
    let by = latest.map_or(&present.set_by, |change| &change.by);
    let at = latest.and_then(|change| change.at.as_ref()).and_then(from_proto);
    let at = at.map(|at| format!(", {} ago", distance(at, now))).unwrap_or_default();
    match by.as_str() {
        "" if latest.is_some() => format!("is at {desired} by now: its override has ended{at}"),
        "" => format!("was changed to {desired} by others"),
        by => format!("was changed to {desired} by {}{at}", terminal::one_line(by)),
    }
}

#[cfg(test)]
mod tests;
