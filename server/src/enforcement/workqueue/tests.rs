use std::future::{pending, ready};

use super::*;

const SLOW: Duration = Duration::from_secs(1);

fn key(name: &str) -> TargetKey {
    TargetKey::new("shop", "", "", name).unwrap()
}

fn queue() -> WorkQueue<()> {
    WorkQueue::new(SLOW)
}

/// Takes all that may start, by name.
fn take_all(queue: &mut WorkQueue<()>) -> Vec<String> {
    std::iter::from_fn(|| queue.take(|_| true)).map(|key| key.name.to_string()).collect()
}

#[tokio::test]
async fn a_target_that_comes_up_again_waits_for_the_others() {
    let mut queue = queue();
    for name in ["b", "a", "b", "c"] {
        queue.add(key(name));
    }
    assert_eq!((queue.take(|_| true), queue.len()), (Some(key("b")), 2));
    queue.add(key("b"));
    assert_eq!(take_all(&mut queue), ["a", "c", "b"]);
}

#[tokio::test]
async fn a_target_that_is_worked_on_keeps_its_place_and_no_other_from_its_turn() {
    let mut queue = queue();
    queue.start(key("a"), ready(()));
    for name in ["a", "b"] {
        queue.add(key(name));
    }
    assert_eq!(take_all(&mut queue), ["b"]);
    assert_eq!(queue.next().await.unwrap().unwrap().0, key("a"));
    assert_eq!(take_all(&mut queue), ["a"]);
}

#[tokio::test]
async fn a_target_that_may_not_start_keeps_its_place() {
    let mut queue = queue();
    for name in ["a", "b"] {
        queue.add(key(name));
    }
    assert_eq!(queue.take(|one| *one != key("a")), Some(key("b")));
    assert_eq!(take_all(&mut queue), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_delay_of_a_target_counts_and_only_that() {
    let (mut queue, start) = (queue(), Instant::now());
    for seconds in [3600, 2, 60] {
        queue.add_after(key("a"), Duration::from_secs(seconds));
    }
    assert!(queue.take(|_| true).is_none());
    assert!(queue.next().await.is_none());
    assert_eq!((start.elapsed().as_secs(), take_all(&mut queue)), (2, vec!["a".to_owned()]));
    assert!(queue.timers.is_empty() && queue.delayed.is_empty());
    queue.add_after(key("a"), Duration::ZERO);
    assert_eq!(take_all(&mut queue), ["a"], "no delay is no timer");
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_timer_ends_early() {
    let (mut queue, start) = (queue(), Instant::now());
    queue.add_after(key("a"), Duration::MAX);
    assert!(queue.next().await.is_none());
    assert_eq!(start.elapsed(), MAX_DELAY);
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_long_is_slow_until_it_ends() {
    let mut queue = queue();
    queue.start(key("a"), pending());
    tokio::time::advance(SLOW / 2).await;
    queue.start(key("b"), pending());
    assert_eq!((queue.in_flight(), queue.at_pace(), queue.is_at_pace(&key("a"))), (2, 2, true));
    assert!(queue.next().await.is_none());
    assert_eq!((queue.in_flight(), queue.at_pace(), queue.is_at_pace(&key("a"))), (2, 1, false));
    assert!(queue.next().await.is_none());
    assert_eq!((queue.at_pace(), queue.is_at_pace(&key("b")), queue.is_at_pace(&key("c"))), (0, false, false));
    queue.start(key("c"), async { tokio::time::sleep(2 * SLOW).await });
    assert!(queue.next().await.is_none(), "c is slow");
    assert_eq!(queue.next().await.unwrap().unwrap().0, key("c"));
    assert_eq!((queue.in_flight(), queue.at_pace()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn work_that_ended_is_never_slow() {
    let mut queue = queue();
    queue.start(key("a"), ready(()));
    queue.next().await.unwrap().unwrap();
    tokio::time::advance(SLOW / 2).await;
    queue.start(key("a"), pending());
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
    queue.add(key("a"));
    tokio::time::advance(Duration::from_secs(3)).await;
    queue.add(key("b"));
    assert_eq!((queue.len(), queue.oldest()), (2, Some(since)));
    queue.take(|_| true);
    assert_eq!(queue.oldest(), Some(since + Duration::from_secs(3)));
    queue.clear();
    assert_eq!((queue.len(), queue.oldest()), (0, None));
    queue.add(key("a"));
    assert_eq!(queue.len(), 1, "it was forgotten");
}

#[tokio::test]
async fn a_panic_of_the_work_is_an_error() {
    let mut queue = queue();
    queue.start(key("a"), async { panic!("a bug") });
    assert!(queue.next().await.unwrap().unwrap_err().is_panic());
}
