//! The field managers that apply a target's count by server-side apply.

use std::sync::Arc;

use crate::resources::{FieldOwners, MAX_OWNERS, Operation, ReplicaCountStatus, Writer};

/// How much older than a status an apply must be, in seconds, for the leader that wrote the status to have known of it.
/// The write of a status may take 10 s.
const KNOWN_AFTER: i64 = 10;

/// The field managers that have applied the count of one target, those that own it first. If there is one, it gets the
/// count back after a correction. If there are several, none of them does: the others would meet a conflict with the
/// owner. So beyond [`MAX_OWNERS`], it does not matter who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appliers(Vec<Recipient>);

/// A field manager that has applied the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its name.
    pub manager: Arc<str>,
    /// When it applied last, in seconds since 1970, if that is known.
    pub time: Option<i64>,
    /// When the status was written that names it, in seconds since 1970. `None` if a state of the target has shown it, or
    /// if that time is not known.
    pub reported: Option<i64>,
    /// Whether it owned the count in the latest state.
    pub owned: bool,
    /// Whether an update of somebody else owned the count in the latest state.
    pub taken: Taken,
}

/// How an update has taken the count from an applier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taken {
    /// It has not.
    #[default]
    No,
    /// Without a change of the count. Kubernetes gives the count to an update that changes it, and that stays so if the
    /// guard then keeps the count.
    Kept,
    /// With another count, or before the server saw the target.
    Changed,
}

impl Appliers {
    /// The appliers that a status names. Their times are unknown.
    pub fn of(status: &ReplicaCountStatus) -> Self {
        let taken = Taken::Changed;
        let known = |name: &String| Recipient {
            manager: name.as_str().into(),
            time: None,
            reported: None,
            owned: false,
            taken,
        };
        Self(status.appliers.iter().take(MAX_OWNERS).map(known).collect())
    }

    /// The same, of a status that was written at a time, in seconds since 1970.
    pub fn reported_at(mut self, time: Option<i64>) -> Self {
        self.0.iter_mut().for_each(|known| known.reported = time);
        self
    }

    /// The appliers after a new state of the target, and the applier that has just left the count out, if one has. `before`
    /// is the count of the state before.
    ///
    /// If an update took the count from an applier, the applier stays known, because it has not applied since. If an
    /// applier has applied without the count, it is forgotten: as an owner it would remove the count with its next
    /// apply, and the API server would set the default, 1. If another applier took the count by force, the applier is
    /// forgotten, too, as Kubernetes does.
    pub fn after(&self, owners: &FieldOwners, replicas: Option<i32>, before: Option<i32>) -> (Self, Option<Writer>) {
        let is_updated = owners.last().is_some_and(|owner| owner.operation == Operation::Update && !owner.is_ours());
        let taken = |known: Taken| match (is_updated, known) {
            (false, _) => Taken::No,
            (true, Taken::No | Taken::Kept) if before.is_some() && replicas == before => Taken::Kept,
            (true, _) => Taken::Changed,
        };
        let owning = owners.appliers().filter(|applier| applier.owns);
        let mut next: Vec<_> = owning
            .map(|one| {
                let (manager, time) = (one.manager.clone(), one.time);
                Recipient { manager, time, reported: None, owned: true, taken: Taken::No }
            })
            .collect();
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
                let taken = taken(known.taken);
                (!is_lost && !has_left).then(|| Recipient { time, owned: false, taken, ..known.clone() })
            })
            .collect();
        next.extend(waiting);
        next.truncate(MAX_OWNERS);
        (Self(next), left_out)
    }

    /// Whether a known applier, which does not own the count, has applied without it.
    ///
    /// The times in managedFields are whole seconds, so comparing them is not enough. If the applier owned the count
    /// before and it has no owner now, the applier itself left it out: another writer would own it. The exceptions are a
    /// write of 0 through `/scale` and a removal of the count by somebody else, which leave no owner.
    fn has_left_out(&self, known: &Recipient, entry: &Writer, owners: &FieldOwners, replicas: Option<i32>) -> bool {
        // With several appliers, a count without an owner proves nothing: this server removes the owner itself.
        let is_given_up = owners.last().is_none() && self.0.len() == 1;
        match known.time {
            Some(_) => {
                let has_default = replicas.is_some_and(|count| count != 0);
                known.owned && is_given_up && has_default || entry.time > known.time
            }
            // This applier comes from a status, so the time of its last apply is unknown. If the count has no owner,
            // the applier left it out, or somebody wrote 0 through /scale. If it has not applied since the status, it
            // was the latter. Otherwise these look the same: the server becomes the owner, and at worst the next apply
            // of another count meets a conflict.
            None => is_given_up && !was_known(known, entry),
        }
    }

    /// Whether the owners are wrong once the count is in place.
    ///
    /// A single applier should own it. Of several appliers none should: they apply other counts, and each would meet a
    /// conflict with the owner. Without appliers this server should, because later writes through `/scale` to a count
    /// without an owner leave no trace of the writer. An update that has changed the count keeps it.
    pub fn are_missing_in(&self, owners: &FieldOwners) -> bool {
        let is_wrong = owners.ours() || is_taken_with_the_kept_count(&self.0);
        match self.0.len() {
            0 => owners.last().is_none(),
            1 => owners.last().is_none() || is_wrong,
            _ => is_wrong,
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

/// Whether the leader that named an applier in a status knew of its last apply.
fn was_known(known: &Recipient, entry: &Writer) -> bool {
    let times = known.reported.zip(entry.time);
    times.is_some_and(|(reported, applied)| applied.saturating_add(KNOWN_AFTER) <= reported)
}

/// Whether an update has taken the count from appliers without changing it.
pub fn is_taken_with_the_kept_count(recipients: &[Recipient]) -> bool {
    recipients.iter().any(|known| known.taken == Taken::Kept)
}

#[cfg(test)]
mod tests;
