//! Give-backs to targets that are not managed any more.

use super::*;
use crate::{
    enforcement::{executor::ownership::MAX_FINAL_ATTEMPTS, fixtures::TargetFixture},
    resources::FIELD_MANAGER,
};

/// An executor that has seen helm apply 7 of a target that is held at 3, and starts the correction.
async fn correcting() -> Executor {
    let mut executor = executor_hanging_at("none").await.0;
    executor.observe(of(target(10, 7).applied_by("helm", 0, true)));
    executor.start_writes();
    assert_eq!(executor.corrections.in_flight(), 1);
    executor
}

async fn answer_correction(executor: &mut Executor) {
    let ended = executor.corrections.next().await.unwrap().unwrap();
    executor.take_correction(ended);
}

/// An event of the target.
fn of(target: TargetFixture) -> TargetSnapshot {
    TargetSnapshot { target: Some(Arc::new(target.state())), ..event(10, 7) }
}

/// The event of the end of its management.
fn unmanaged(target: TargetFixture) -> TargetSnapshot {
    TargetSnapshot { count: None, ..of(target) }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_replica_count_leaves_its_pending_give_back_to_the_leader() {
    let helm = |version, owns| target(version, 3).applied_by("helm", 0, owns);
    let ours = |version| helm(version, false).scaled_by(FIELD_MANAGER);
    struct Row {
        name: &'static str,
        /// The states since the correction.
        seen: Vec<TargetFixture>,
        /// The state at the end of the management.
        last: TargetFixture,
        is_given_back: bool,
    }
    for Row { name, seen, last, is_given_back } in [
        Row { name: "before its state is seen", seen: vec![], last: helm(10, true), is_given_back: true },
        Row { name: "before it has begun", seen: vec![ours(11)], last: ours(11), is_given_back: true },
        Row { name: "when all is well", seen: vec![helm(12, true)], last: helm(12, true), is_given_back: false },
        Row { name: "with the target", seen: vec![ours(11)], last: ours(12).deleting(), is_given_back: false },
    ] {
        let mut executor = correcting().await;
        answer_correction(&mut executor).await;
        seen.into_iter().for_each(|state| executor.observe(of(state)));
        executor.observe(unmanaged(last));
        executor.start_writes();
        assert_eq!(executor.ownership.in_flight() == 1, is_given_back, "{name}");
        // The API server of this test stores nothing.
        let mut attempts = 0;
        while !executor.final_give_backs.is_empty() {
            executor.start_writes();
            if let Some(ended) = executor.ownership.next().await {
                executor.take_ownership(ended.unwrap());
                attempts += 1;
            }
        }
        assert_eq!(attempts, if is_given_back { MAX_FINAL_ATTEMPTS } else { 0 }, "{name}: it is tried for a time");
    }
}

#[tokio::test]
async fn a_correction_that_ends_after_the_management_is_given_back_too() {
    let mut executor = correcting().await;
    executor.observe(unmanaged(target(10, 7).applied_by("helm", 0, true)));
    executor.start_writes();
    assert_eq!(executor.ownership.in_flight(), 0, "the correction takes the count once more");
    answer_correction(&mut executor).await;
    executor.start_writes();
    assert_eq!(executor.ownership.in_flight(), 1);
}

#[tokio::test]
async fn the_answer_to_a_give_back_from_before_the_end_is_not_that_to_the_last_one() {
    let mut executor = correcting().await;
    answer_correction(&mut executor).await;
    executor.observe(of(target(11, 3).applied_by("helm", 0, false).scaled_by(FIELD_MANAGER)));
    executor.start_writes();
    assert_eq!(executor.ownership.in_flight(), 1);
    let drift = || target(12, 7).applied_by("helm", 0, false).scaled_by("kubectl");
    executor.observe(of(drift()));
    executor.start_writes();
    assert_eq!(executor.corrections.in_flight(), 1, "it takes the count once more");
    executor.observe(unmanaged(drift()));
    let (key, (uid, _)) = executor.ownership.next().await.unwrap().unwrap();
    // An event from before the end may have queued another one.
    executor.ownership.add(key.clone(), Lane::Healthy);
    executor.take_ownership((key, (uid, OwnershipAnswer::Given { version: 12 })));
    executor.start_writes();
    assert_eq!(executor.ownership.in_flight(), 0, "the answer to the correction comes first");
    answer_correction(&mut executor).await;
    executor.start_writes();
    assert_eq!(executor.ownership.in_flight(), 1, "the last one is still to be made");
}

#[tokio::test]
async fn a_leader_that_stops_gives_back_what_no_other_replica_knows_of() {
    let (mut executor, requests) = executor_hanging_at("none").await;
    executor.observe(of(target(10, 7).applied_by("helm", 0, true)));
    executor.start_writes();
    executor.observe(unmanaged(target(10, 7).applied_by("helm", 0, true)));
    executor.finish().await;
    let is_patched = requests.lock().iter().any(|path| path.ends_with("/deployments/web"));
    assert!(is_patched, "{:?}", requests.lock());
}
