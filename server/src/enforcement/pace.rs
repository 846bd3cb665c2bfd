//! How many writes are under way at once.

use std::time::Duration;

use tokio::time::Instant;

use super::lane::{LaneBound, LaneBounds};

/// When a write counts as slow: something hangs, such as a webhook. In the healthy lane it then leaves its place to
/// another write.
pub const SLOW: Duration = Duration::from_secs(1);

/// How many corrections are under way. One namespace has 64 at pace at most, enough to keep an API server busy, and the
/// rest are for the others. Slow ones are bounded, too, because each keeps a connection (kube's connector speaks
/// HTTP/1.1). The first write to a target that hangs is in the healthy lane, and all later ones are in the failing
/// lane.
pub const CORRECTIONS: LaneBounds = LaneBounds {
    healthy: LaneBound { at_pace: 80, in_flight: 480 },
    failing: LaneBound { at_pace: 40, in_flight: usize::MAX },
};

/// How many status writes, patches of ownership, or writes of Events are under way, each sort for itself: they pass
/// other webhooks. One namespace has 8 at most.
pub const OTHERS: LaneBounds = LaneBounds {
    healthy: LaneBound { at_pace: 10, in_flight: 40 },
    failing: LaneBound { at_pace: 4, in_flight: usize::MAX },
};

/// How many probes are under way: one at a time, since each is two dry runs, and none is urgent. One that hangs leaves its
/// place to another, and the later ones for its namespace are in the failing lane.
pub const PROBES: LaneBounds =
    LaneBounds { healthy: LaneBound { at_pace: 1, in_flight: 8 }, failing: LaneBound { at_pace: 1, in_flight: 1 } };

/// A probe is slow after 3 s: up to 2 s until its turn, and a second for the answer.
pub const SLOW_PROBE: Duration = Duration::from_secs(3);

/// No bounds, for the queue of timers: it starts no writes.
pub const UNBOUNDED: LaneBounds = LaneBounds { healthy: LaneBound::NONE, failing: LaneBound::NONE };

/// Reports and give-backs wait while more corrections than this are under way in the healthy lane. Slow ones do not
/// count. Up to this many corrections run well beside other writes, so a quiet cluster reports without delay.
const FEW_CORRECTIONS: usize = 8;

/// Upper bound on holding back. After it, held-back writes go out one at a time, so sustained drift cannot starve them.
const HELD_BACK: Duration = Duration::from_secs(60);

/// How many writes of a queue that yields to corrections may be under way. `corrections` counts the corrections that
/// are not slow, `waiting` is when the oldest write of the queue began to wait, and `most` is the bound while there are
/// few corrections.
pub fn yielding(corrections: usize, waiting: Option<Instant>, most: usize) -> usize {
    match waiting {
        Some(since) if corrections > FEW_CORRECTIONS => usize::from(since.elapsed() >= HELD_BACK),
        _ => most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_that_can_wait_yield_to_corrections_for_a_time() {
        struct Row {
            name: &'static str,
            corrections: usize,
            before: usize,
            after: usize,
        }
        let since = Instant::now();
        tokio::time::advance(HELD_BACK - Duration::from_secs(1)).await;
        let long_ago = since.checked_sub(Duration::from_secs(1)).unwrap();
        for row in [
            Row { name: "no corrections", corrections: 0, before: 5, after: 5 },
            Row { name: "few corrections", corrections: FEW_CORRECTIONS, before: 5, after: 5 },
            Row { name: "more than few", corrections: FEW_CORRECTIONS + 1, before: 0, after: 1 },
            Row { name: "as many as there may be", corrections: CORRECTIONS.healthy.at_pace, before: 0, after: 1 },
        ] {
            assert_eq!(yielding(row.corrections, Some(since), 5), row.before, "{} before the bound", row.name);
            assert_eq!(yielding(row.corrections, Some(long_ago), 5), row.after, "{} after the bound", row.name);
        }
    }
}
