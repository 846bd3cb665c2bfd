use std::future::{pending, ready};

use super::{super::lane::LaneBound, Lane::*, *};

const SLOW: Duration = Duration::from_secs(1);

fn key(name: &str) -> TargetKey {
    TargetKey::new("shop", "", "", name).unwrap()
}

/// The bounds of these tests: a namespace gets four fifths of the places at pace and a fifth of all.
const BOUNDS: LaneBounds = LaneBounds {
    healthy: LaneBound { at_pace: 10, in_flight: 60 },
    failing: LaneBound { at_pace: 5, in_flight: usize::MAX },
};

fn queue() -> WorkQueue<()> {
    WorkQueue::new(SLOW, BOUNDS)
}

fn key_in(namespace: &str, name: &str) -> TargetKey {
    TargetKey::new(namespace, "", "", name).unwrap()
}

/// Takes all that may start, by name.
fn take_all(queue: &mut WorkQueue<()>) -> Vec<String> {
    std::iter::from_fn(|| queue.take(|_| true)).map(|(key, _)| key.name.to_string()).collect()
}

#[tokio::test]
async fn a_target_that_comes_up_again_waits_for_the_others() {
    let mut queue = queue();
    for name in ["b", "a", "b", "c"] {
        queue.add(key(name), Healthy);
    }
    assert_eq!((queue.take(|_| true), queue.len()), (Some((key("b"), Healthy)), 2));
    queue.add(key("b"), Healthy);
    assert_eq!(take_all(&mut queue), ["a", "c", "b"]);
}

#[tokio::test]
async fn a_target_that_is_worked_on_keeps_its_place_and_no_other_from_its_turn() {
    let mut queue = queue();
    queue.start(key("a"), Healthy, ready(()));
    for name in ["a", "b"] {
        queue.add(key(name), Healthy);
    }
    assert_eq!(take_all(&mut queue), ["b"]);
    assert_eq!(queue.next().await.unwrap().unwrap().0, key("a"));
    assert_eq!(take_all(&mut queue), ["a"]);
}

#[tokio::test]
async fn a_target_that_was_added_just_before_its_start_waits_for_the_end_of_the_work() {
    let mut queue = queue();
    queue.add(key("a"), Healthy);
    let (taken, lane) = queue.take(|_| true).unwrap();
    queue.add(key("a"), Healthy);
    queue.start(taken, lane, ready(()));
    assert!(take_all(&mut queue).is_empty(), "one at a time");
    queue.next().await.unwrap().unwrap();
    assert_eq!((take_all(&mut queue), queue.healthy.all), (vec!["a".to_owned()], 0));
}

#[tokio::test]
async fn a_target_that_may_not_start_keeps_its_place() {
    let mut queue = queue();
    for name in ["a", "b"] {
        queue.add(key(name), Healthy);
    }
    assert_eq!(queue.take(|one| *one != key("a")), Some((key("b"), Healthy)));
    assert_eq!(take_all(&mut queue), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_delay_of_a_target_counts_and_only_that() {
    let (mut queue, start) = (queue(), Instant::now());
    for seconds in [3600, 2, 60] {
        queue.add_after(key("a"), Healthy, Duration::from_secs(seconds));
    }
    assert!(queue.take(|_| true).is_none());
    assert!(queue.next().await.is_none());
    assert_eq!((start.elapsed().as_secs(), take_all(&mut queue)), (2, vec!["a".to_owned()]));
    assert!(queue.timers.is_empty() && queue.delayed.is_empty());
    queue.add_after(key("a"), Healthy, Duration::ZERO);
    assert_eq!(take_all(&mut queue), ["a"], "no delay is no timer");
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_timer_ends_early() {
    let (mut queue, start) = (queue(), Instant::now());
    queue.add_after(key("a"), Healthy, Duration::MAX);
    assert!(queue.next().await.is_none());
    assert_eq!(start.elapsed(), MAX_DELAY);
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_long_is_slow_until_it_ends() {
    let mut queue = queue();
    queue.start(key("a"), Healthy, pending());
    tokio::time::advance(SLOW / 2).await;
    queue.start(key("b"), Healthy, pending());
    assert_eq!((queue.in_flight(), queue.at_pace(), queue.is_at_pace(&key("a"))), (2, 2, true));
    assert!(queue.next().await.is_none());
    assert_eq!((queue.in_flight(), queue.at_pace(), queue.is_at_pace(&key("a"))), (2, 1, false));
    assert!(queue.next().await.is_none());
    assert_eq!((queue.at_pace(), queue.is_at_pace(&key("b")), queue.is_at_pace(&key("c"))), (0, false, false));
    queue.start(key("c"), Healthy, async { tokio::time::sleep(2 * SLOW).await });
    assert!(queue.next().await.is_none(), "c is slow");
    assert_eq!(queue.next().await.unwrap().unwrap().0, key("c"));
    assert_eq!((queue.in_flight(), queue.at_pace()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn work_that_ended_is_never_slow() {
    let mut queue = queue();
    queue.start(key("a"), Healthy, ready(()));
    queue.next().await.unwrap().unwrap();
    tokio::time::advance(SLOW / 2).await;
    queue.start(key("a"), Healthy, pending());
    tokio::time::advance(SLOW * 3 / 4).await;
    assert_eq!(queue.at_pace(), 1, "the second work on a is younger than a second");
    assert!(queue.next().await.is_none());
    assert_eq!(queue.at_pace(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_due_target_is_the_oldest() {
    let mut queue = queue();
    assert_eq!((queue.len(), queue.oldest()), (0, None));
    let since = Instant::now();
    queue.add(key("a"), Healthy);
    tokio::time::advance(Duration::from_secs(3)).await;
    queue.add(key("b"), Healthy);
    assert_eq!((queue.len(), queue.oldest()), (2, Some(since)));
    queue.take(|_| true);
    assert_eq!(queue.oldest(), Some(since + Duration::from_secs(3)));
    queue.clear();
    assert_eq!((queue.len(), queue.oldest()), (0, None));
    queue.add(key("a"), Healthy);
    assert_eq!(queue.len(), 1, "it was forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_work_is_an_error() {
    let mut queue = queue();
    queue.start(key("a"), Healthy, async { panic!("a bug") });
    assert!(queue.next().await.unwrap().unwrap_err().is_panic());
}

/// Starts work that never ends on all targets that may start, and returns how many of each namespace there are.
fn start_hanging(queue: &mut WorkQueue<()>) -> HashMap<String, usize> {
    let mut started = HashMap::new();
    while let Some((key, lane)) = queue.take(|_| true) {
        *started.entry(key.namespace.to_string()).or_default() += 1;
        queue.start(key, lane, pending());
    }
    started
}

#[tokio::test(start_paused = true)]
async fn a_namespace_of_hanging_targets_leaves_places_to_others() {
    let mut queue = queue();
    for index in 0..100 {
        queue.add(key_in("bad", &format!("web-{index}")), Healthy);
    }
    assert_eq!(start_hanging(&mut queue), HashMap::from([("bad".to_owned(), 8)]), "four fifths");
    queue.add(key_in("good", "web"), Healthy);
    assert_eq!(queue.take(|_| true), Some((key_in("good", "web"), Healthy)), "it finds a place at once");
    let mut most = 0;
    for _ in 0..2 {
        tokio::time::advance(SLOW).await;
        assert!(queue.next().await.is_none(), "all are slow");
        start_hanging(&mut queue);
        most = most.max(queue.in_flight());
        queue.add(key_in("good", "web"), Healthy);
        assert_eq!(queue.take(|_| true), Some((key_in("good", "web"), Healthy)));
    }
    assert_eq!(most, 12, "a fifth of all places");
}

#[tokio::test(start_paused = true)]
async fn failing_targets_take_no_place_from_healthy_ones() {
    let mut queue = queue();
    for index in 0..1000 {
        queue.add(key_in(&format!("bad-{}", index % 50), &format!("web-{index}")), Failing);
    }
    start_hanging(&mut queue);
    assert_eq!((queue.in_flight(), queue.at_pace(), queue.len(), queue.oldest()), (5, 0, 0, None));
    for index in 0..10 {
        queue.add(key_in("good", &format!("web-{index}")), Healthy);
    }
    let good = start_hanging(&mut queue);
    assert_eq!((good["good"], queue.at_pace(), queue.in_flight()), (8, 8, 13));
    tokio::time::advance(SLOW).await;
    assert!(queue.next().await.is_none(), "all are slow");
    assert_eq!((start_hanging(&mut queue)["good"], queue.failing.all), (2, 5), "failing ones keep their places");
}

#[tokio::test]
async fn a_namespace_with_few_targets_does_not_wait_for_one_with_many() {
    let mut queue = queue();
    for index in 0..100 {
        queue.add(key_in("many", &format!("web-{index}")), Healthy);
    }
    queue.add(key_in("few", "web-0"), Healthy);
    let order: Vec<_> = std::iter::from_fn(|| queue.take(|_| true)).map(|(key, _)| key.namespace).collect();
    assert_eq!((order.len(), &*order[1]), (101, "few"));
}

#[tokio::test]
async fn a_target_changes_its_lane_while_it_is_queued_or_worked_on() {
    let mut queue = queue();
    let taken = |queue: &mut WorkQueue<()>| std::iter::from_fn(|| queue.take(|_| true)).collect::<Vec<_>>();
    queue.add(key("a"), Healthy);
    queue.add(key("b"), Healthy);
    queue.add(key("a"), Failing);
    assert_eq!((queue.len(), queue.oldest().is_some()), (1, true));
    assert_eq!(taken(&mut queue), [(key("b"), Healthy), (key("a"), Failing)]);
    assert_eq!(queue.oldest(), None);
    for lane in [Failing, Healthy, Failing, Healthy] {
        queue.add(key("a"), lane);
    }
    assert_eq!((queue.len(), taken(&mut queue)), (1, vec![(key("a"), Healthy)]));
    queue.start(key("a"), Healthy, ready(()));
    queue.add(key("a"), Healthy);
    queue.add(key("a"), Failing);
    queue.next().await.unwrap().unwrap();
    assert_eq!(taken(&mut queue), [(key("a"), Failing)]);
}
