//! The field managers that apply a target's count by server-side apply.

use std::sync::Arc;

use crate::resources::{FieldOwners, ReplicaCountStatus, Writer};

/// The field managers that have applied the count of one target. They get it back after a correction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appliers {
    known: Vec<Recipient>,
    /// Whether they owned the count in the latest state.
    owned: bool,
}

/// A field manager that has applied the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its name.
    pub manager: Arc<str>,
    /// When it applied last, in seconds since 1970, if that is known.
    pub time: Option<i64>,
}

impl Appliers {
    /// The appliers that a status names. Their times are unknown.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        let known =
            status.appliers.iter().map(|name| Recipient { manager: name.as_str().into(), time: None }).collect();
        Self { known, owned: false }
    }

    /// The appliers after a new state of the target, and the applier that has just left the count out, if one has.
    ///
    /// An applier whose count somebody else took has not applied since, so it stays known. An applier that applied
    /// without the count is forgotten: if it owned a count that it does not set, its next apply would reset it to 1.
    pub fn after(&self, owners: &FieldOwners, replicas: Option<i32>) -> (Self, Option<Writer>) {
        let owning: Vec<_> = owners.appliers().filter(|applier| applier.owns).collect();
        if !owning.is_empty() {
            let known = owning.iter().map(|one| Recipient { manager: one.manager.clone(), time: one.time }).collect();
            return (Self { known, owned: true }, None);
        }
        // Times are whole seconds, too coarse to compare alone. But somebody who takes a count from its owner owns it
        // afterwards, except after a 0 through /scale.
        let is_given_up = self.owned && owners.last().is_none() && replicas != Some(0);
        let mut next = Self { known: self.known.clone(), owned: false };
        let mut left_out = None;
        next.known.retain_mut(|known| {
            // An applier of nothing but the count has no entry once the count is taken from it.
            let Some(entry) = owners.appliers().find(|applier| applier.manager == known.manager) else { return true };
            let has_applied_since = match known.time {
                Some(_) => is_given_up || entry.time > known.time,
                // The server did not watch then. If the count has no owner now, the applier gave it up by its own
                // apply. A 0 through /scale looks the same: then the server stays the owner, which is the lesser evil.
                None => owners.last().is_none(),
            };
            if has_applied_since && known.time.is_some() {
                left_out = Some(entry.clone());
            }
            known.time = entry.time;
            !has_applied_since
        });
        (next, left_out)
    }

    /// Whether the owners are wrong once the count is in place.
    ///
    /// The appliers alone should own it. Without appliers somebody should: with no owner at all, later writes through
    /// `/scale` leave no trace of the writer.
    pub fn are_missing_in(&self, owners: &FieldOwners) -> bool {
        owners.last().is_none() || (owners.ours() && !self.known.is_empty())
    }

    /// The appliers as they are known.
    pub fn recipients(&self) -> &[Recipient] {
        &self.known
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|known| &*known.manager)
    }
}

#[cfg(test)]
mod tests;
