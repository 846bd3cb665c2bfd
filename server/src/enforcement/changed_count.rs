//! A correction of which the API server stored another count: an admission policy or a webhook changed it.

/// A correction that admission changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedCount {
    /// The count that was sent, in replicas.
    pub sent: i32,
    /// The count that was stored instead, in replicas.
    pub stored: i32,
    /// The target's resource version with it.
    pub version: u64,
    /// Whether an Event says so.
    pub is_announced: bool,
}

impl ChangedCount {
    /// The change after one more answer. If both counts are the same as before, there is no second Event.
    pub fn after(before: Option<Self>, sent: i32, stored: i32, version: u64) -> Self {
        let is_same = |before: &Self| (before.sent, before.stored) == (sent, stored);
        let is_announced = before.filter(is_same).is_some_and(|before| before.is_announced);
        Self { sent, stored, version, is_announced }
    }

    /// What happened, and what to do about it.
    pub fn message(self) -> String {
        let Self { sent, stored, .. } = self;
        format!(
            "admission stored {stored} replicas instead of {sent}: change the admission policy or webhook that changes \
            the count of this target, or set another count"
        )
    }
}
