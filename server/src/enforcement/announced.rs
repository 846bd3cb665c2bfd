//! Which Events were written for a target lately, and whether one more may be.
//!
//! As client-go's event recorder: equal Events are one object with a count, and the Events of one target are limited.
//! Each target has its own small, bounded record, so the Events of one target never push out the record of another.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use super::observation::Now;

/// How many Events of one target are written at once (client-go's `EventSourceObjectSpamFilter`).
const BURST: u32 = 25;

/// After this time a target may have one more Event (client-go's value, too).
const REFILL: Duration = Duration::from_secs(5 * 60);

/// How many series of a target are remembered: one for each reason, actor and desired count. A further one pushes out
/// the series that was used least recently, which begins again at 1 if it returns.
const MAX_SERIES: usize = 4;

/// How long after its latest occurrence an Event can still be counted up (client-go's `finishTime`).
const SERIES_ENDS: Duration = Duration::from_secs(6 * 60);

/// The Events of one target.
#[derive(Debug)]
pub struct Announced {
    /// Whether the last one could not be written.
    pub is_failing: bool,
    tokens: u32,
    /// Since when the next token grows.
    refilled: Instant,
    /// The latest ones, the newest first.
    series: VecDeque<Series>,
}

/// An Event and how often it occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// What is equal for all of them.
    content: u64,
    /// When the first one occurred, in nanoseconds since 1970: a part of the object's name.
    pub began: i128,
    /// How often.
    pub count: i32,
    last: Instant,
}

impl Series {
    /// An Event that occurs once.
    pub fn first(now: Now) -> Self {
        Self { content: 0, began: now.wall.as_nanosecond(), count: 1, last: now.monotonic }
    }
}

impl Announced {
    /// Nothing was announced yet.
    pub fn new(now: Now) -> Self {
        Self { is_failing: false, tokens: BURST, refilled: now.monotonic, series: VecDeque::new() }
    }

    /// Counts one more Event of this content. Returns its series if it should be written.
    pub fn add(&mut self, content: impl Hash, now: Now) -> Option<Series> {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let content = hasher.finish();
        let is_same = |one: &Series| one.content == content && now.monotonic < one.last + SERIES_ENDS;
        let known = self.series.iter().position(is_same).and_then(|index| self.series.remove(index));
        let (began, count) = known.map_or((now.wall.as_nanosecond(), 0), |one| (one.began, one.count));
        let series = Series { content, began, count: count.saturating_add(1), last: now.monotonic };
        self.series.push_front(series);
        self.series.truncate(MAX_SERIES);
        self.take_token(now.monotonic).then_some(series)
    }

    fn take_token(&mut self, now: Instant) -> bool {
        while self.tokens < BURST && now >= self.refilled + REFILL {
            self.tokens += 1;
            self.refilled += REFILL;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
        let has_token = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforcement::fixtures::at;

    struct Target {
        announced: Announced,
        start: Instant,
    }

    impl Target {
        fn new() -> Self {
            let start = Instant::now();
            Self { announced: Announced::new(Now { wall: at(0), monotonic: start }), start }
        }

        /// The count of an Event of this content at this second, if it is written.
        fn add(&mut self, second: u32, content: &str) -> Option<i32> {
            let monotonic = self.start + Duration::from_secs(second.into());
            self.announced.add(content, Now { wall: at(second.into()), monotonic }).map(|series| series.count)
        }
    }

    #[test]
    fn equal_events_are_counted_until_none_came_for_a_time() {
        let mut target = Target::new();
        for (name, second, content, count) in [
            ("the first", 0, "helm", 1),
            ("another actor", 1, "kubectl", 1),
            ("again", 2, "helm", 2),
            ("just in time", 361, "helm", 3),
            ("too late", 721, "helm", 1),
        ] {
            assert_eq!(target.add(second, content), Some(count), "{name}");
        }
        for actor in ["a", "b", "c", "d"] {
            assert_eq!(target.add(800, actor), Some(1));
        }
        assert_eq!((target.add(801, "helm"), target.announced.series.len()), (Some(1), MAX_SERIES), "it was forgotten");
        assert!(size_of::<Announced>() + MAX_SERIES * size_of::<Series>() <= 320, "small enough for each target");
    }

    #[test]
    fn a_target_with_many_events_gets_few() {
        let mut target = Target::new();
        let mut written = |second| (0..100).filter(|_| target.add(second, "helm").is_some()).count();
        for (name, second, expected) in
            [("a burst", 0, 25), ("soon after", 299, 0), ("after five minutes", 300, 1), ("after an hour", 3900, 12)]
        {
            assert_eq!(written(second), expected, "{name}");
        }
        assert_eq!(written(1_000_000), 25, "never more than a burst");
        let mut target = Target::new();
        let counts: Vec<_> = (0..40).map(|_| target.add(0, "helm")).collect();
        assert_eq!((counts[24], counts[25]), (Some(25), None));
        assert_eq!(target.add(300, "helm"), Some(41), "those that were not written are counted");
    }
}
