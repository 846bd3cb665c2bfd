//! Webhooks that are taken out, and put back.

use super::*;

/// Makes the probe that is due.
async fn probe(executor: &mut Executor) {
    executor.start_writes();
    assert_eq!(executor.probes.in_flight(), 1);
    let ended = loop {
        if let Some(ended) = executor.probes.next().await {
            break ended.unwrap();
        }
    };
    executor.take_probe(ended);
}

#[tokio::test(start_paused = true)]
async fn targets_are_guarded_no_more_without_the_webhooks_and_again_after_a_probe() {
    let reviews: Arc<Reviews> = Arc::default();
    let mut executor = guarding_executor_hanging_at("none", &reviews).await;
    let key = event(10, 3).key;
    let admission = |executor: &Executor| executor.targets.get(&key).unwrap().observation.admission;
    executor.observe(event(10, 3));
    probe(&mut executor).await;
    assert_eq!(admission(&executor), Some(Admission::Guarded));

    reviews.set_configured(Admission::Neither);
    assert!(executor.configured.has_changed().unwrap(), "it is known at once");
    executor.take_configured();
    assert_eq!(admission(&executor), Some(Admission::Neither));
    executor.observe(event(12, 3));
    assert_eq!(admission(&executor), Some(Admission::Neither), "with the next event, too");

    reviews.set_configured(Admission::Guarded);
    executor.take_configured();
    assert_eq!(admission(&executor), Some(Admission::Neither), "nothing has shown yet that they work");
    probe(&mut executor).await;
    assert_eq!(admission(&executor), Some(Admission::Guarded));

    for configured in [Admission::Neither, Admission::Recorded] {
        reviews.set_configured(configured);
        executor.take_configured();
    }
    // One of them is back.
    probe(&mut executor).await;
}
