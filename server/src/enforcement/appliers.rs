//! The field managers that apply a target's count by server-side apply.

use std::sync::Arc;

use crate::resources::{FieldOwners, ReplicaCountStatus, Writer};

/// The field managers that have applied the count of one target. If there is one, it gets the count back after a
/// correction. If there are several, none of them does: the others would meet a conflict with the owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appliers(Vec<Recipient>);

/// A field manager that has applied the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its name.
    pub manager: Arc<str>,
    /// When it applied last, in seconds since 1970, if that is known.
    pub time: Option<i64>,
    /// Whether it owned the count in the latest state.
    pub owned: bool,
}

impl Appliers {
    /// The appliers that a status names. Their times are unknown.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        let known = |name: &String| Recipient { manager: name.as_str().into(), time: None, owned: false };
        Self(status.appliers.iter().map(known).collect())
    }

    /// The appliers after a new state of the target, and the applier that has just left the count out, if one has.
    ///
    /// If an update took the count from an applier, the applier stays known, because it has not applied since. If an
    /// applier has applied without the count, it is forgotten: as an owner it would remove the count with its next
    /// apply, and the API server would set the default, 1. If another applier took the count by force, the applier is
    /// forgotten, too, as Kubernetes does.
    pub fn after(&self, owners: &FieldOwners, replicas: Option<i32>) -> (Self, Option<Writer>) {
        let owning = owners.appliers().filter(|applier| applier.owns);
        let mut next: Vec<_> =
            owning.map(|one| Recipient { manager: one.manager.clone(), time: one.time, owned: true }).collect();
        let mut left_out = None;
        let is_taken = !next.is_empty();
        let waiting = self.0.iter().filter(|known| next.iter().all(|one| one.manager != known.manager));
        let waiting: Vec<_> = waiting
            .filter_map(|known| {
                let is_lost = is_taken && (known.owned || known.time.is_none() && self.0.len() == 1);
                // An applier of nothing but the count has no entry once the count is taken from it.
                let entry = owners.appliers().find(|applier| applier.manager == known.manager);
                let has_left = entry.is_some_and(|entry| self.has_left_out(known, entry, owners, replicas));
                if has_left && known.time.is_some() && !is_taken {
                    left_out = entry.cloned();
                }
                let time = entry.map_or(known.time, |entry| entry.time);
                (!is_lost && !has_left).then(|| Recipient { time, owned: false, ..known.clone() })
            })
            .collect();
        next.extend(waiting);
        (Self(next), left_out)
    }

    /// Whether a known applier, which does not own the count, has applied without it.
    ///
    /// The times in managedFields are whole seconds, so comparing them is not enough. If the applier owned the count
    /// before and it has no owner now, the applier itself left it out: another writer would own it. The exception is a
    /// write of 0 through `/scale`, which leaves no owner.
    fn has_left_out(&self, known: &Recipient, entry: &Writer, owners: &FieldOwners, replicas: Option<i32>) -> bool {
        // With several appliers, a count without an owner proves nothing: this server removes the owner itself.
        let is_given_up = owners.last().is_none() && self.0.len() == 1;
        match known.time {
            Some(_) => (known.owned && is_given_up && replicas != Some(0)) || entry.time > known.time,
            // This applier comes from a status, so the time of its last apply is unknown. If the count has no owner,
            // the applier left it out, or somebody wrote 0 through /scale: these look the same. In both cases the
            // server becomes the owner, and at worst the next apply of another count meets a conflict.
            None => is_given_up,
        }
    }

    /// Whether the owners are wrong once the count is in place.
    ///
    /// A single applier should own it. Of several appliers none should: they apply other counts, and each would meet a
    /// conflict with the owner. Without appliers this server should, because later writes through `/scale` to a count
    /// without an owner leave no trace of the writer.
    pub fn are_missing_in(&self, owners: &FieldOwners) -> bool {
        match self.0.len() {
            0 => owners.last().is_none(),
            1 => owners.last().is_none() || owners.ours(),
            _ => owners.ours(),
        }
    }

    /// The appliers as they are known.
    pub fn recipients(&self) -> &[Recipient] {
        &self.0
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|known| &*known.manager)
    }
}

#[cfg(test)]
mod tests;
