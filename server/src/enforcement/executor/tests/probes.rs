//! Probes of the webhooks, and the creations that they kept.

use tokio::time::Instant;

use super::*;
use crate::reviews::KeptCreation;

#[tokio::test]
async fn a_probe_shows_whether_the_targets_of_its_namespace_and_kind_are_guarded() {
    let mut executor = guarding_executor_hanging_at("none", &Arc::default()).await;
    let keys = ["web", "api"].map(|name| TargetKey::new("shop", "", "", name).unwrap());
    for key in keys.clone() {
        executor.observe(TargetSnapshot { key, ..event(10, 3) });
    }
    let admission = |executor: &Executor, key| executor.targets.get(key).unwrap().observation.admission;
    assert_eq!(admission(&executor, &keys[0]), None, "it is still to be tested");
    executor.start_writes();
    assert_eq!(executor.probes.in_flight(), 1, "one probe for both");
    let ended = executor.probes.next().await.unwrap().unwrap();
    executor.take_probe(ended);
    for key in &keys {
        assert_eq!(admission(&executor, key), Some(Admission::Guarded), "{key}");
    }
    executor.observe(TargetSnapshot { key: keys[0].clone(), ..event(12, 3) });
    assert_eq!(admission(&executor, &keys[0]), Some(Admission::Guarded), "with its next event, too");
}

#[tokio::test]
async fn a_target_that_shows_up_was_not_refused() {
    let ((mut executor, _), now) = (executor().await, Instant::now());
    executor.admission_mode = AdmissionMode::Guard;
    let [web, gone] = ["web", "gone"].map(|name| TargetKey::new("shop", "", "", name).unwrap());
    let creation = |key: &TargetKey| {
        let (key, uid) = (key.clone(), "u".into());
        KeptCreation { key, uid, generation: Some(1), desired: 3, is_dry_run: false }
    };
    let later = now + Duration::from_secs(2);
    let is_refused = |executor: &Executor, key: &TargetKey| executor.reviews.is_creation_refused(&creation(key), later);
    [&web, &gone].into_iter().for_each(|key| executor.reviews.record_creation(creation(key), now));
    executor.observe(TargetSnapshot { target: None, ..event(10, 3) });
    assert!(is_refused(&executor, &web), "an event without a target");
    executor.observe(event(10, 3));
    executor.observe(TargetSnapshot { target: None, ..event(11, 3) });
    assert!(!is_refused(&executor, &web), "it was there, and was deleted again");
    assert!(is_refused(&executor, &gone), "another target");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_probes_hang_delays_no_other_and_is_not_guarded() {
    let mut executor = guarding_executor_hanging_at("/namespaces/hanging/", &Arc::default()).await;
    let [hanging, shop] = ["hanging", "shop"].map(|namespace| TargetKey::new(namespace, "", "", "web").unwrap());
    let admission = |executor: &Executor, key| executor.targets.get(key).unwrap().observation.admission;
    let start = Instant::now();
    let until = async |executor: &mut Executor, second: u64| {
        while start.elapsed() < Duration::from_secs(second) {
            executor.start_probes();
            if let Ok(Some(ended)) = timeout(Duration::from_secs(1), executor.probes.next()).await {
                executor.take_probe(ended.unwrap());
            }
        }
    };
    executor.observe(TargetSnapshot { key: hanging.clone(), ..event(10, 3) });
    until(&mut executor, 25).await;
    assert_eq!(executor.probes.in_flight(), 1, "the second probe hangs");
    executor.observe(TargetSnapshot { key: shop.clone(), ..event(10, 3) });
    until(&mut executor, 28).await;
    assert_eq!(admission(&executor, &shop), Some(Admission::Guarded), "it did not wait");
    assert_eq!(admission(&executor, &hanging), None, "it is still to be tested");
    until(&mut executor, 65).await;
    assert_eq!(admission(&executor, &hanging), Some(Admission::Neither), "it was given up");
}
