//! A queue of targets to work on, and the work that is under way for them.
//!
//! As client-go's work queue, it holds each target once, in the order in which they came, delays some, and never works
//! on one target twice at once. Beyond that, failing targets have a lane of their own, and the namespaces take turns: a
//! busy or failing target cannot starve the others, and neither can a namespace full of them.

mod due;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::time::{DelayQueue, delay_queue};

use self::due::Due;
use super::lane::{Lane, LaneBounds};
use crate::resources::TargetKey;

/// The longest delay, far below what [`DelayQueue`] can hold. A longer delay is cut to this, which costs one decision
/// more.
const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Targets to work on, and the work that is under way, which ends in a `T` for each.
pub struct WorkQueue<T> {
    /// The targets that may start.
    due: Due,
    /// The targets that are due again while they are worked on, each with its lane.
    again: HashMap<TargetKey, Lane>,
    delayed: DelayQueue<TargetKey>,
    /// The one timer of a target: the earliest that was asked for. With the lane that was asked for last.
    timers: HashMap<TargetKey, Timer>,
    work: JoinSet<(TargetKey, T)>,
    /// The targets that are worked on.
    in_flight: HashMap<TargetKey, InFlight>,
    healthy: UnderWay,
    failing: UnderWay,
    /// Work in the order of its start, to find what becomes slow next. Ended work is removed when it reaches the front.
    recent: VecDeque<(TargetKey, Instant)>,
    /// When work counts as slow.
    slow_after: Duration,
    bounds: LaneBounds,
}

/// A delayed target.
struct Timer {
    key: delay_queue::Key,
    at: Instant,
    lane: Lane,
}

/// The work on one target.
struct InFlight {
    since: Instant,
    lane: Lane,
    is_slow: bool,
}

/// How much work of a lane is under way.
#[derive(Default)]
struct UnderWay {
    all: usize,
    slow: usize,
    namespaces: HashMap<Arc<str>, usize>,
}

impl UnderWay {
    /// Slow work of failing targets keeps its place: they are expected to be slow, and are few.
    fn at_pace(&self, lane: Lane) -> usize {
        match lane {
            Lane::Healthy => self.all - self.slow,
            Lane::Failing => self.all,
        }
    }

    fn of_namespace(&self, namespace: &str) -> usize {
        self.namespaces.get(namespace).copied().unwrap_or_default()
    }

    fn add(&mut self, namespace: &Arc<str>) {
        self.all += 1;
        *self.namespaces.entry(namespace.clone()).or_default() += 1;
    }

    fn remove(&mut self, namespace: &Arc<str>, is_slow: bool) {
        self.all -= 1;
        self.slow -= usize::from(is_slow);
        if let Some(count) = self.namespaces.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(namespace);
            }
        }
    }
}

impl<T: Send + 'static> WorkQueue<T> {
    /// An empty queue, whose work counts as slow after a time.
    pub fn new(slow_after: Duration, bounds: LaneBounds) -> Self {
        Self {
            due: Due::default(),
            again: HashMap::new(),
            delayed: DelayQueue::new(),
            timers: HashMap::new(),
            work: JoinSet::new(),
            in_flight: HashMap::new(),
            healthy: UnderWay::default(),
            failing: UnderWay::default(),
            recent: VecDeque::new(),
            slow_after,
            bounds,
        }
    }

    /// Adds a target, unless it is queued already. It changes its lane even then.
    pub fn add(&mut self, key: TargetKey, lane: Lane) {
        if self.in_flight.contains_key(&key) {
            self.again.insert(key, lane);
        } else {
            self.due.add(key, lane);
        }
    }

    /// Adds a target after a delay, or earlier if that was asked for before.
    pub fn add_after(&mut self, key: TargetKey, lane: Lane, delay: Duration) {
        if delay.is_zero() {
            return self.add(key, lane);
        }
        let at = Instant::now() + delay.min(MAX_DELAY);
        match self.timers.get_mut(&key) {
            Some(timer) => {
                timer.lane = lane;
                if at < timer.at {
                    timer.at = at;
                    self.delayed.reset_at(&timer.key, at);
                }
            }
            None => {
                let timer = self.delayed.insert_at(key.clone(), at);
                self.timers.insert(key, Timer { key: timer, at, lane });
            }
        }
    }

    /// Takes the next target that is not worked on and may start, and its lane. The others keep their places.
    pub fn take(&mut self, may_start: impl Fn(&TargetKey) -> bool) -> Option<(TargetKey, Lane)> {
        [Lane::Healthy, Lane::Failing].into_iter().find_map(|lane| {
            let (bound, under_way) = (self.bounds.of(lane), self.under_way(lane));
            let (at_pace, all) = (under_way.at_pace(lane), under_way.all);
            if !bound.has_room(at_pace, all) {
                return None;
            }
            let under_way = match lane {
                Lane::Healthy => &self.healthy,
                Lane::Failing => &self.failing,
            };
            let has_room = |namespace: &str| bound.has_room_for(at_pace, all, under_way.of_namespace(namespace));
            // A target that was added between `take` and `start` is due although it is worked on.
            let may_start = |key: &TargetKey| !self.in_flight.contains_key(key) && may_start(key);
            self.due.take(lane, has_room, may_start).map(|key| (key, lane))
        })
    }

    /// Starts work on a target that [`Self::take`] gave.
    pub fn start(&mut self, key: TargetKey, lane: Lane, work: impl Future<Output = T> + Send + 'static) {
        let since = Instant::now();
        self.under_way_mut(lane).add(&key.namespace);
        self.in_flight.insert(key.clone(), InFlight { since, lane, is_slow: false });
        self.recent.push_back((key.clone(), since));
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
                if let Some(timer) = self.timers.remove(&key) {
                    self.add(key, timer.lane);
                }
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
        if let Some(InFlight { lane, is_slow, .. }) = self.in_flight.remove(key) {
            self.under_way_mut(lane).remove(&key.namespace, is_slow);
        }
        if let Some((key, lane)) = self.again.remove_entry(key) {
            self.due.add(key, lane);
        }
        // Work that ended needs no timer.
        while self.recent.front().is_some_and(|(key, since)| !self.is_under_way(key, *since)) {
            self.recent.pop_front();
        }
    }

    fn note_slow(&mut self) {
        while let Some((key, since)) = self.recent.front()
            && since.elapsed() >= self.slow_after
        {
            if let Some(work) = self.in_flight.get_mut(key)
                && work.since == *since
            {
                work.is_slow = true;
                let lane = work.lane;
                self.under_way_mut(lane).slow += 1;
            }
            self.recent.pop_front();
        }
    }

    fn is_under_way(&self, key: &TargetKey, since: Instant) -> bool {
        self.in_flight.get(key).is_some_and(|work| work.since == since)
    }

    fn under_way(&self, lane: Lane) -> &UnderWay {
        match lane {
            Lane::Healthy => &self.healthy,
            Lane::Failing => &self.failing,
        }
    }

    fn under_way_mut(&mut self, lane: Lane) -> &mut UnderWay {
        match lane {
            Lane::Healthy => &mut self.healthy,
            Lane::Failing => &mut self.failing,
        }
    }

    /// How many healthy targets are due.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Since when the first healthy target is due.
    pub fn oldest(&self) -> Option<Instant> {
        self.due.oldest()
    }

    /// How many targets are worked on.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many healthy targets are worked on for so short a time that the work is not slow.
    pub fn at_pace(&self) -> usize {
        self.healthy.at_pace(Lane::Healthy)
    }

    /// Whether a healthy target is worked on, and the work is not slow.
    pub fn is_at_pace(&self, key: &TargetKey) -> bool {
        self.in_flight.get(key).is_some_and(|work| work.lane == Lane::Healthy && !work.is_slow)
    }

    /// Forgets the targets that are due.
    pub fn clear(&mut self) {
        self.due = Due::default();
        self.again.clear();
    }

    /// Cancels the work that is under way, and waits until it has ended.
    pub async fn shutdown(&mut self) {
        self.work.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
