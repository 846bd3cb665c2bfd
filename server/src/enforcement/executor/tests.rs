mod attempts;
mod fixtures;
mod ownership;
mod probes;
mod webhooks;

use std::sync::atomic::Ordering;

use serde_json::json;

use self::fixtures::{event, executor, executor_hanging_at, guarding_executor_hanging_at};
use super::*;
use crate::enforcement::{
    fixtures::{replica_count, target},
    reconcile::tests::calls,
};

#[tokio::test]
async fn an_event_and_an_answer_are_each_reconciled_once() {
    let (mut executor, requests) = executor().await;
    let before = calls();
    executor.observe(event(10, 7));
    assert_eq!(calls() - before, 1, "the event");
    executor.start_writes();
    assert_eq!((calls() - before, executor.corrections.in_flight()), (1, 1), "starting the write decides nothing");
    let ended = executor.corrections.next().await.unwrap().unwrap();
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    executor.take_correction(ended);
    assert_eq!(calls() - before, 2, "the answer");
    executor.start_writes();
    assert_eq!((calls() - before, executor.corrections.in_flight()), (2, 0));
    assert_eq!(executor.statuses.in_flight(), 1, "one status shows the drift and its end");
}

#[tokio::test]
async fn an_answer_for_a_deleted_replica_count_leaves_its_successor_alone() {
    let (mut executor, _) = executor().await;
    let of_another = |event: TargetSnapshot| {
        let mut count = (*event.count.unwrap()).clone();
        count.uid = "another".into();
        TargetSnapshot { count: Some(Arc::new(count)), ..event }
    };
    executor.observe(event(10, 7));
    executor.start_writes();
    let (key, (uid, _)) = executor.corrections.next().await.unwrap().unwrap();
    executor.observe(TargetSnapshot { count: None, ..event(10, 7) });
    executor.observe(of_another(event(10, 7)));
    let status = StatusAnswer::Stored { status: Arc::default(), version: 9, was_changed: false };
    executor.take_status((key.clone(), (uid.clone(), status)));
    executor.take_correction((key.clone(), (uid, CorrectionAnswer::Unset)));
    let memory = &executor.targets.get_mut(&key).unwrap().memory;
    assert_eq!((memory.stored_version, memory.is_unset), (1, false));
    executor.start_writes();
    assert_eq!(executor.corrections.in_flight(), 1, "the successor is corrected");
}

#[tokio::test]
async fn the_event_about_the_end_waits_for_the_answer_to_a_correction() {
    let (mut executor, _) = executor().await;
    executor.observe(event(10, 7));
    executor.start_writes();
    executor.observe(TargetSnapshot { count: None, ..event(10, 7) });
    assert!(executor.ends.is_empty(), "what is left is not known yet");
    let ended = executor.corrections.next().await.unwrap().unwrap();
    executor.take_correction(ended);
    let said = format!("{:?}", executor.ends);
    assert!(said.contains("left at 3"), "{said}");
}

#[tokio::test]
async fn an_event_is_about_the_object_to_which_it_happened() {
    let (mut executor, _) = executor().await;
    executor.observe(event(9, 3));
    executor.observe(event(10, 7));
    executor.start_writes();
    let ended = executor.corrections.next().await.unwrap().unwrap();
    executor.take_correction(ended);
    let again = Some(Arc::new(target(20, 3).uid("v").state()));
    executor.observe(TargetSnapshot { target: again, ..event(20, 3) });
    let (regarding, events) = executor.events.values().next().unwrap();
    assert_eq!(events.put_back, Some(("kubectl".to_owned(), 3)));
    let said = format!("{regarding:?}");
    assert!(said.contains("uid: Some(\"u\")"), "{said}");
}

#[tokio::test]
async fn an_event_that_overtakes_a_queued_correction_replaces_it() {
    let (mut executor, requests) = executor().await;
    executor.observe(event(10, 7));
    executor.observe(event(11, 3));
    executor.start_writes();
    assert_eq!((executor.corrections.in_flight(), requests.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_neither_statuses_nor_events_wait_for_the_other() {
    for (hanging, expected) in [("/events", "/status"), ("/status", "/events")] {
        let (mut executor, requests) = executor_hanging_at(hanging).await;
        let status = json!({"observedGeneration": 1, "desired": 3, "observed": 3, "drifts": 0, "conditions": []});
        let count = |_: usize| Some(replica_count(1, 1, json!({"replicas": 3}), status.clone()));
        for number in 0..30 {
            let key = TargetKey::new("shop", "", "", &format!("web-{number}")).unwrap();
            executor.observe(TargetSnapshot { key, count: count(number), ..event(10, 7) });
        }
        executor.start_writes();
        for _ in 0..30 {
            let ended = executor.corrections.next().await.unwrap().unwrap();
            executor.take_correction(ended);
        }
        let finished = timeout(LAST_WRITES, executor.finish()).await;
        assert!(finished.is_err(), "{hanging} hangs: {:?}", requests.lock());
        let written = requests.lock().iter().filter(|path| path.contains(expected)).count();
        assert_eq!(written, 30, "{hanging} hangs");
    }
}

#[tokio::test]
async fn each_term_probes_the_fence_and_leaves_no_alert_behind() {
    let (mut executor, requests) = executor_hanging_at("none").await;
    executor.observe(event(10, 3));
    executor.observe(event(11, 3));
    executor.start_writes();
    let ended = executor.ownership.next().await.unwrap().unwrap();
    executor.take_ownership(ended);
    let patched = requests.lock().iter().filter(|path| path.ends_with("/deployments/web")).count();
    assert_eq!(patched, 3, "a read, the probe and a patch: {:?}", requests.lock());
    executor.start_writes();
    assert_eq!(executor.ownership.in_flight(), 0, "once is enough");
    assert_eq!(executor.metrics.fence_missing.get(), 1, "the probe was not refused");
    executor.give_up().await;
    assert_eq!(executor.metrics.fence_missing.get(), 0, "the next leader finds out for itself");
}
