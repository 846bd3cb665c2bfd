//! A queue of targets to work on, and the work that is under way for them.
//!
//! As client-go's work queue, it holds each target once, in the order in which they came, delays some, and never works
//! on one target twice at once. A busy or failing target therefore cannot starve the others.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use futures::StreamExt;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::time::{DelayQueue, delay_queue};

use crate::resources::TargetKey;

/// The longest delay, far below what [`DelayQueue`] can hold. A target that is due early is only looked at once more.
const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Targets to work on, and the work that is under way, which ends in a `T` for each.
pub struct WorkQueue<T> {
    /// The targets that are due, each with the time since when, the oldest first.
    due: VecDeque<(TargetKey, Instant)>,
    queued: BTreeSet<TargetKey>,
    delayed: DelayQueue<TargetKey>,
    /// The one timer of a target: the earliest that was asked for.
    timers: HashMap<TargetKey, (delay_queue::Key, Instant)>,
    work: JoinSet<(TargetKey, T)>,
    /// The targets that are worked on, each with the time since when.
    in_flight: HashMap<TargetKey, Instant>,
    /// Work in the order of its start, to find what becomes slow next. Ended work is removed when it reaches the front.
    recent: VecDeque<(TargetKey, Instant)>,
    slow: BTreeSet<TargetKey>,
    /// When work counts as slow.
    slow_after: Duration,
}

impl<T: Send + 'static> WorkQueue<T> {
    /// An empty queue, whose work counts as slow after a time.
    pub fn new(slow_after: Duration) -> Self {
        Self {
            due: VecDeque::new(),
            queued: BTreeSet::new(),
            delayed: DelayQueue::new(),
            timers: HashMap::new(),
            work: JoinSet::new(),
            in_flight: HashMap::new(),
            recent: VecDeque::new(),
            slow: BTreeSet::new(),
            slow_after,
        }
    }

    /// Adds a target, unless it is queued already.
    pub fn add(&mut self, key: TargetKey) {
        if self.queued.insert(key.clone()) {
            self.due.push_back((key, Instant::now()));
        }
    }

    /// Adds a target after a delay, or earlier if that was asked for before.
    pub fn add_after(&mut self, key: TargetKey, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay.min(MAX_DELAY);
        match self.timers.get(&key) {
            Some((_, earlier)) if *earlier <= at => {}
            Some((timer, _)) => {
                let timer = *timer;
                self.delayed.reset_at(&timer, at);
                self.timers.insert(key, (timer, at));
            }
            None => {
                let timer = self.delayed.insert_at(key.clone(), at);
                self.timers.insert(key, (timer, at));
            }
        }
    }

    /// Takes the next target that is not worked on and may start. The others keep their places.
    pub fn take(&mut self, may_start: impl Fn(&TargetKey) -> bool) -> Option<TargetKey> {
        let index = self.due.iter().position(|(key, _)| !self.in_flight.contains_key(key) && may_start(key))?;
        let (key, _) = self.due.remove(index)?;
        self.queued.remove(&key);
        Some(key)
    }

    /// Starts work on a target that [`Self::take`] gave.
    pub fn start(&mut self, key: TargetKey, work: impl Future<Output = T> + Send + 'static) {
        let now = Instant::now();
        self.in_flight.insert(key.clone(), now);
        self.recent.push_back((key.clone(), now));
        self.work.spawn(async move { (key, work.await) });
    }

    /// Waits until work has ended, or until there may be more to start: `None` then. Waits for ever if neither can
    /// happen.
    ///
    /// # Errors
    ///
    /// When the work panicked.
    pub async fn next(&mut self) -> Option<Result<(TargetKey, T), JoinError>> {
        let slow_at = self.recent.front().map(|(_, since)| *since + self.slow_after);
        tokio::select! {
            Some(ended) = self.work.join_next() => {
                if let Ok((key, _)) = &ended {
                    self.end(key);
                }
                Some(ended)
            }
            Some(key) = self.delayed.next() => {
                let key = key.into_inner();
                self.timers.remove(&key);
                self.add(key);
                None
            }
            () = sleep_until(slow_at.unwrap_or_else(Instant::now)), if slow_at.is_some() => {
                self.note_slow();
                None
            }
            else => std::future::pending().await,
        }
    }

    fn end(&mut self, key: &TargetKey) {
        self.in_flight.remove(key);
        self.slow.remove(key);
        // Work that ended needs no timer.
        while self.recent.front().is_some_and(|(key, since)| self.in_flight.get(key) != Some(since)) {
            self.recent.pop_front();
        }
    }

    fn note_slow(&mut self) {
        while let Some((key, since)) = self.recent.front()
            && since.elapsed() >= self.slow_after
        {
            if self.in_flight.get(key) == Some(since) {
                self.slow.insert(key.clone());
            }
            self.recent.pop_front();
        }
    }

    /// How many targets are due.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Since when the first target is due.
    pub fn oldest(&self) -> Option<Instant> {
        self.due.front().map(|(_, since)| *since)
    }

    /// How many targets are worked on.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many targets are worked on for so short a time that the work is not slow.
    pub fn at_pace(&self) -> usize {
        self.in_flight.len() - self.slow.len()
    }

    /// Whether a target is worked on, and the work is not slow.
    pub fn is_at_pace(&self, key: &TargetKey) -> bool {
        self.in_flight.contains_key(key) && !self.slow.contains(key)
    }

    /// Forgets the targets that are due.
    pub fn clear(&mut self) {
        self.due.clear();
        self.queued.clear();
    }

    /// Cancels the work that is under way, and waits until it has ended.
    pub async fn shutdown(&mut self) {
        self.work.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
