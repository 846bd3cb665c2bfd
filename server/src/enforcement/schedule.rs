//! Which targets to decide on: now, in the order in which they came up, and later, by one timer each.

use std::{collections::HashMap, time::Duration};

use futures::StreamExt;
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};

use super::turns::Turns;
use crate::{resources::TargetKey, telemetry::Queue};

/// The longest sleep until an override ends, far below what the timer can hold.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The targets to decide on.
#[derive(Default)]
pub struct Schedule {
    /// What is told of those that are due.
    told: Queue,
    due: Turns,
    later: DelayQueue<TargetKey>,
    /// The one timer of a target: the earliest that was asked for. Deciding sets it anew.
    timers: HashMap<TargetKey, (delay_queue::Key, Instant)>,
}

impl Schedule {
    /// Without any target, and told of in a metric.
    pub fn told_by(told: Queue) -> Self {
        Self { told, ..Self::default() }
    }

    fn tell(&self) {
        self.told.set(self.due.len(), self.due.since());
    }

    /// Adds a target to decide on now, unless it waits for that already.
    pub fn now(&mut self, key: TargetKey) {
        self.due.add(key);
        self.tell();
    }

    /// Takes the next target to decide on.
    pub fn take(&mut self) -> Option<TargetKey> {
        let key = self.due.take(|_| false)?;
        self.tell();
        Some(key)
    }

    /// Forgets what was to be decided on now.
    pub fn clear(&mut self) {
        self.due = Turns::default();
        self.tell();
    }

    /// Sets the timer of a target, unless it rings earlier anyhow.
    pub fn after(&mut self, key: TargetKey, pause: Duration) {
        let at = Instant::now() + pause.min(LONGEST_SLEEP);
        match self.timers.get(&key) {
            Some((_, earlier)) if *earlier <= at => {}
            Some((timer, _)) => {
                let timer = *timer;
                self.later.reset_at(&timer, at);
                self.timers.insert(key, (timer, at));
            }
            None => {
                let timer = self.later.insert_at(key.clone(), at);
                self.timers.insert(key, (timer, at));
            }
        }
    }

    /// Waits for the next timer to ring; for ever if none is set.
    pub async fn rings(&mut self) -> TargetKey {
        match self.later.next().await {
            Some(key) => {
                let key = key.into_inner();
                self.timers.remove(&key);
                key
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> TargetKey {
        TargetKey::new("shop", "", "", name).unwrap()
    }

    #[test]
    fn a_target_is_due_once_and_in_turn() {
        let mut schedule = Schedule::default();
        for name in ["a", "b", "a"] {
            schedule.now(key(name));
        }
        assert_eq!([schedule.take(), schedule.take(), schedule.take()], [Some(key("a")), Some(key("b")), None]);
        schedule.now(key("a"));
        assert_eq!(schedule.take(), Some(key("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn how_many_are_due_and_for_how_long_is_told() {
        let queue = Queue::default();
        let mut schedule = Schedule::told_by(queue.clone());
        schedule.now(key("a"));
        tokio::time::advance(Duration::from_secs(3)).await;
        schedule.now(key("b"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(queue.get(), (2, 4.0));
        schedule.take();
        assert_eq!(queue.get(), (1, 1.0));
        schedule.clear();
        assert_eq!(queue.get(), (0, 0.0));
    }

    #[tokio::test]
    async fn the_earliest_timer_of_a_target_rings_and_only_that() {
        let mut schedule = Schedule::default();
        schedule.after(key("a"), Duration::from_secs(3600));
        schedule.after(key("a"), Duration::from_millis(1));
        schedule.after(key("a"), Duration::from_secs(60));
        assert_eq!(schedule.rings().await, key("a"));
        assert!(schedule.timers.is_empty() && schedule.later.is_empty());
    }
}
