//! Attempts to change a count that were prevented.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;
use crate::{
    resources::{Attempt, ReplicaCountStatus},
    reviews::verdicts,
};

#[tokio::test(start_paused = true)]
async fn at_a_stop_each_attempt_is_reported() {
    let (mut executor, _) = executor().await;
    let (sender, mut attempts) = mpsc::channel(1);
    let key = event(10, 3).key;
    let attempt = |to: i32| {
        let at = MicroTime(Now::read().wall);
        let (user, manager, verdict) = ("bob".into(), "".into(), verdicts::DENIED.into());
        TargetAttempt { key: key.clone(), attempt: Attempt { user, manager, from: Some(3), to: Some(to), at, verdict } }
    };
    let reported = |executor: &Executor| {
        let mut status = ReplicaCountStatus::default();
        executor.targets.get(&key).unwrap().memory.history.write_to(&mut status);
        (status.attempts, status.last_attempt.and_then(|last| last.to))
    };
    executor.observe(event(10, 3));
    for to in [7, 8] {
        executor.take_attempt(attempt(to));
        executor.reconcile(key.clone(), Now::read());
    }
    sender.try_send(attempt(9)).unwrap();
    assert_eq!(reported(&executor), (1, Some(7)), "the next report is due in 10 s, and one attempt is on its way");
    executor.report_last_attempts(&mut attempts);
    assert_eq!(reported(&executor), (3, Some(9)));
}
