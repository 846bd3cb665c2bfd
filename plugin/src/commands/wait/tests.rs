use contract::replicas::v1::{Condition, Synced, Target};

use super::*;

fn count(desired: Option<i32>, observed: Option<i32>, ready: Option<i32>) -> ReplicaCount {
    let target = Target { name: "web".to_owned(), ..Target::default() };
    ReplicaCount { target: Some(target), desired, observed, ready, ..ReplicaCount::default() }
}

#[test]
fn a_target_is_ready_when_its_count_is_right_and_ready() {
    let table = [
        (count(Some(3), Some(3), Some(3)), State::Ready { desired: 3 }),
        (count(Some(0), Some(0), Some(0)), State::Ready { desired: 0 }),
        (count(Some(3), Some(3), None), State::Ready { desired: 3 }),
        (count(Some(3), Some(3), Some(2)), State::Waiting { ready: 2, desired: 3, why: None }),
        (count(Some(3), Some(5), Some(3)), State::Waiting { ready: 3, desired: 3, why: None }),
        (count(Some(3), None, None), State::Missing),
        (count(None, Some(3), Some(3)), State::Unset),
    ];
    for (count, expected) in table {
        assert_eq!(state_of(&count), expected, "{count:?}");
    }
}

#[test]
fn a_target_that_disappears_fails_unless_it_may_be_missing() {
    for (allow_missing, failed) in [(false, 1), (true, 0)] {
        let names = ["deployment.apps/web", "statefulset.apps/db"].map(str::to_owned);
        let mut lines = Lines::default();
        let mut wait = Wait::new(&mut lines, names.into_iter(), allow_missing);
        wait.handle(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap();
        assert_eq!((wait.failed, wait.states.len()), (failed, 2 - failed));
    }
}

#[test]
fn a_single_target_that_disappears_is_the_error() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, ["deployment.apps/web".to_owned()].into_iter(), false);
    let error = wait.handle(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap_err();
    assert_eq!(error.to_string(), "deployment.apps/web does not exist any more");
}

#[test]
fn other_targets_do_not_matter() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, ["statefulset.apps/db".to_owned()].into_iter(), false);
    wait.handle(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap();
    assert_eq!(wait.describe_open(), ["statefulset.apps/db: not seen"]);
}

#[test]
fn the_newest_version_is_the_largest_number() {
    let version = |version: &str| ReplicaCount { resource_version: version.to_owned(), ..ReplicaCount::default() };
    assert_eq!(newest_version(&[version("9"), version("10"), version("")]), "10");
    assert_eq!(newest_version(&[]), "");
}

#[test]
fn a_target_outside_the_snapshot_is_no_longer_managed() {
    let mut lines = Lines::default();
    let names = ["deployment.apps/web", "statefulset.apps/db"].map(str::to_owned);
    let mut wait = Wait::new(&mut lines, names.into_iter(), false);
    wait.handle(Some(Event::Changed(count(Some(3), Some(3), Some(1)).into()))).unwrap();
    wait.handle(Some(Event::Synced(Synced::default()))).unwrap();
    assert_eq!((wait.failed, wait.describe_open()), (1, vec!["deployment.apps/web: 1 of 3 ready".to_owned()]));
}

#[test]
fn a_target_that_ends_between_two_watches_fails() {
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, ["deployment.apps/web".to_owned()].into_iter(), true);
    wait.handle(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap();
    wait.handle(Some(Event::Synced(Synced::default()))).unwrap();
    wait.start_over();
    let error = wait.handle(Some(Event::Synced(Synced::default()))).unwrap_err();
    assert_eq!(error.to_string(), "deployment.apps/web is not managed any more");
}

#[test]
fn a_target_that_is_not_ready_says_why() {
    let [r#type, status, reason, message] = ["Ready", "False", "CorrectionFailed", "quota"].map(str::to_owned);
    let conditions = vec![Condition { r#type, status, reason, message, ..Condition::default() }];
    let mut lines = Lines::default();
    let mut wait = Wait::new(&mut lines, ["deployment.apps/web".to_owned()].into_iter(), false);
    wait.handle(Some(Event::Changed(ReplicaCount { conditions, ..count(Some(3), Some(1), Some(1)) }.into()))).unwrap();
    assert_eq!(wait.describe_open(), ["deployment.apps/web: 1 of 3 ready (CorrectionFailed: quota)"]);
}
