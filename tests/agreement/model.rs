//! What the walk did to a target: the spec that holds, and the history that has to say so.

use std::collections::VecDeque;

use jiff::Timestamp;
use tokio::time::Instant;

use super::contention::ExpectedContention;

/// How many changes and how many drifts the status lists.
const LISTED: usize = 20;

/// A line of the history of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: i64,
    pub(super) field: String,
    pub(super) from: Option<i32>,
    pub(super) to: i32,
    pub(super) by: String,
    pub(super) reason: String,
}

/// A drift of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DriftLine {
    pub(super) number: i64,
    pub(super) manager: String,
    pub(super) from: Option<i32>,
    pub(super) to: Option<i32>,
    pub(super) is_corrected: bool,
}

/// An override that is in force.
#[derive(Clone, Debug)]
pub(super) struct ExpectedOverride {
    pub(super) replicas: i32,
    pub(super) until: Timestamp,
    pub(super) reason: String,
    pub(super) then_unset: bool,
}

/// What a ReplicaCount holds, and its history.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) replicas: i32,
    pub(super) original: i32,
    pub(super) reason: String,
    pub(super) over: Option<ExpectedOverride>,
    pub(super) drifts: i64,
    pub(super) contention: ExpectedContention,
    changes: i64,
    lines: VecDeque<Line>,
    drift_lines: VecDeque<DriftLine>,
}

impl Held {
    /// A ReplicaCount that does not exist yet, of a target at this count.
    pub(super) fn new(observed: i32) -> Self {
        Self { original: observed, ..Self::default() }
    }

    pub(super) fn desired(&self) -> i32 {
        self.over.as_ref().map_or(self.replicas, |over| over.replicas)
    }

    /// The latest changes, the latest first.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.iter().cloned().collect()
    }

    /// The latest drifts, the latest first.
    pub(super) fn drift_lines(&self) -> Vec<DriftLine> {
        self.drift_lines.iter().cloned().collect()
    }

    /// Another lasting count, as a Set or somebody else writes it. The count of before is `None` if there was none.
    pub(super) fn change_replicas(&mut self, before: Option<i32>, to: i32, by: &str, reason: &str) {
        self.replicas = to;
        reason.clone_into(&mut self.reason);
        self.add("replicas", before, to, by, reason);
    }

    /// Another reason of the lasting count.
    pub(super) fn change_reason(&mut self, by: &str, reason: &str) {
        reason.clone_into(&mut self.reason);
        self.add("reason", Some(self.replicas), self.replicas, by, reason);
    }

    /// An override.
    pub(super) fn change_override(&mut self, over: ExpectedOverride, by: &str) {
        let from = self.desired();
        self.add("override", Some(from), over.replicas, by, &over.reason.clone());
        self.over = Some(over);
    }

    /// The end of the override by a write.
    pub(super) fn clear_override(&mut self, by: &str, reason: &str) {
        if let Some(over) = self.over.take() {
            self.add("override", Some(over.replicas), self.replicas, by, reason);
        }
    }

    /// The end of the override by time.
    pub(super) fn end_override(&mut self) {
        match &self.over {
            // No count changes.
            Some(over) if over.replicas == self.replicas => self.over = None,
            _ => self.clear_override("", "the override ended"),
        }
    }

    /// Changes of the lasting count that no replica watched.
    pub(super) fn change_unseen(&mut self, to: i32) {
        let (before, reason) = (self.replicas, self.reason.clone());
        self.change_replicas(Some(before), to, "several, unseen", &reason);
    }

    fn add(&mut self, field: &str, from: Option<i32>, to: i32, by: &str, reason: &str) {
        self.changes += 1;
        let [field, by, reason] = [field, by, reason].map(str::to_owned);
        self.lines.push_front(Line { number: self.changes, field, from, to, by, reason });
        self.lines.truncate(LISTED);
        self.contention = ExpectedContention::default();
    }

    /// A drift that was put back.
    pub(super) fn drift(&mut self, manager: &str, from: i32, to: i32) {
        self.drifts += 1;
        self.contention.add(manager);
        let (manager, from, to) = (manager.to_owned(), Some(from), Some(to));
        let line = DriftLine { number: self.drifts, manager, from, to, is_corrected: true };
        self.drift_lines.push_front(line);
        self.drift_lines.truncate(LISTED);
    }
}

/// When an override ends, by the clock of the test.
pub(super) fn instant(until: Timestamp) -> Instant {
    Instant::now() + std::time::Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
}
