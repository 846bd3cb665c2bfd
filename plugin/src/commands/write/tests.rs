use contract::replicas::v1::UnsetReplicaCountRequest;

use super::*;

#[test]
fn a_relative_count_starts_from_the_desired_one_and_is_guarded_by_the_observed_one() {
    struct Row {
        name: &'static str,
        desired: Option<i32>,
        observed: Option<i32>,
        expected: Option<i32>,
        result: Option<(i32, Option<i32>)>,
    }
    for Row { name, desired, observed, expected, result } in [
        Row { name: "managed", desired: Some(7), observed: Some(7), expected: None, result: Some((10, Some(7))) },
        Row { name: "drifted", desired: Some(7), observed: Some(5), expected: None, result: Some((10, Some(5))) },
        Row { name: "unmanaged", desired: None, observed: Some(5), expected: None, result: Some((8, Some(5))) },
        Row { name: "missing", desired: Some(7), observed: None, expected: None, result: Some((10, None)) },
        Row { name: "flag", desired: Some(7), observed: Some(7), expected: Some(6), result: Some((10, Some(6))) },
        Row { name: "no count", desired: None, observed: None, expected: None, result: None },
    ] {
        let request = SetReplicaCountRequest { expected_replicas: expected, ..SetReplicaCountRequest::default() };
        let before = ReplicaCount { desired, observed, ..ReplicaCount::default() };
        let started = start_from(&before, Count::More(3), &request, "web").ok();
        let found = started.and_then(|request| Some((request.replicas?, request.expected_replicas)));
        assert_eq!(found, result, "{name}");
    }
}

#[test]
fn a_count_of_zero_is_known_before_it_is_written() {
    let set = |replicas| Action::Set(SetReplicaCountRequest { replicas, ..SetReplicaCountRequest::default() });
    let unset = |restore| Action::Unset(UnsetReplicaCountRequest { restore, ..UnsetReplicaCountRequest::default() });
    let original = |count| Some(ReplicaCount { original_replicas: Some(count), ..ReplicaCount::default() });
    for (name, action, before, expected) in [
        ("a count", set(Some(3)), None, false),
        ("a zero", set(Some(0)), None, true),
        ("the current count", set(None), original(0), false),
        ("a relative count", Action::Relative(Count::More(1), SetReplicaCountRequest::default()), original(0), false),
        ("an unset", unset(false), original(0), false),
        ("a restored zero", unset(true), original(0), true),
        ("a restored count", unset(true), original(2), false),
        ("an unknown count", unset(true), None, false),
    ] {
        let (name_of_target, target) = (String::new(), Target::default());
        let write = Write { name: name_of_target, target, before, action, is_guarded: false, dry_run: false };
        assert_eq!(write.leads_to_zero(), expected, "{name}");
    }
}
