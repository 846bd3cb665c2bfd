//! The pauses after the failures of a watch.

use std::{sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use kube::runtime::{
    WatchStreamExt,
    utils::Backoff,
    watcher::{self, Event, ExponentialBackoff},
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The first pause after a failure. It is short, because drift is not corrected during it.
const MIN: Duration = Duration::from_millis(100);

/// The longest pause after a failure, without its jitter, which at most doubles it. So the server uses the API server
/// again within 5 s of its return.
const MAX: Duration = Duration::from_millis(2_500);

/// How long a watch must work until its next failure counts as the first. A watch that fails soon after each list does
/// not list without a pause.
const SETTLED: Duration = Duration::from_secs(10);

/// The events of a watch, with pauses after its failures.
pub(super) fn with_pauses<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
) -> impl Stream<Item = watcher::Result<Event<K>>> {
    let working = WorkingSince::default();
    let backoff = WatchBackoff::new(working.clone());
    events.backoff(backoff).inspect(move |event| {
        if let Ok(event) = event {
            working.record(event);
        }
    })
}

/// Since when a watch works. `None` while it lists, and after a failure until it delivers something.
#[derive(Clone, Default)]
struct WorkingSince(Arc<Mutex<Option<Instant>>>);

impl WorkingSince {
    fn record<K>(&self, event: &Event<K>) {
        let mut since = self.0.lock();
        match event {
            Event::Init => *since = None,
            Event::InitApply(_) => {}
            // A watch that resumes after a failure does not list again.
            Event::InitDone | Event::Apply(_) | Event::Delete(_) => {
                since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Records a failure. Returns whether the watch has worked for a while.
    fn end(&self) -> bool {
        self.0.lock().take().is_some_and(|since| since.elapsed() > SETTLED)
    }
}

/// Pauses that grow with each failure in a row.
///
/// kube resets the pauses with each event, and its watcher sends one before each list. So a reset changes nothing here.
struct WatchBackoff {
    pauses: ExponentialBackoff,
    working: WorkingSince,
}

impl WatchBackoff {
    fn new(working: WorkingSince) -> Self {
        let pauses =
            ExponentialBuilder::new().with_min_delay(MIN).with_max_delay(MAX).with_jitter().without_max_times();
        Self { pauses: pauses.into(), working }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.working.end() {
            self.pauses.reset();
        }
        self.pauses.next()
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_the_watch_has_worked_for_a_while() {
        let working = WorkingSince::default();
        let mut backoff = WatchBackoff::new(working.clone());
        let first = backoff.next().unwrap();
        assert!(first >= MIN && first <= 2 * MIN, "{first:?}");
        let (soon, long) = (SETTLED / 2, SETTLED + Duration::from_secs(1));
        for (name, events, lasts, is_grown) in [
            ("fails at once", vec![], Duration::ZERO, true),
            ("fails after a long attempt to open it", vec![], 4 * long, true),
            ("fails within a long list", vec![Event::Init, Event::InitApply(())], 4 * long, true),
            ("fails soon after a list", vec![Event::Init, Event::InitDone], soon, true),
            ("lists again", vec![Event::InitDone, Event::Init], long, true),
            ("has worked since a list", vec![Event::Init, Event::InitDone], long, false),
            ("has worked since it was resumed", vec![Event::Apply(())], long, false),
            ("has worked since it was resumed with a deletion", vec![Event::Delete(())], long, false),
        ] {
            for _ in 0..10 {
                backoff.next();
                backoff.reset();
            }
            events.iter().for_each(|event| working.record(event));
            advance(lasts).await;
            let pause = backoff.next().unwrap();
            let range = if is_grown { MAX..=2 * MAX } else { MIN..=2 * MIN };
            assert!(range.contains(&pause), "{name}: {pause:?}");
        }
    }
}
