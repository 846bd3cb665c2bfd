mod kinds;
mod pages;

use super::*;
use crate::resources::fixtures::{ReplicaCountBuilder, deployment_key as key};

fn index() -> Index {
    let index = Index::default();
    for name in ["a", "b", "d"] {
        index.set_target(key(name), Some(TargetState::default()));
    }
    for (version, name) in ["b", "c"].into_iter().enumerate() {
        index.set_replica_count(key(name), Some(ReplicaCountBuilder::new(name).state()), version as u64 + 1);
    }
    index
}

#[test]
fn a_change_says_what_was_before() {
    struct Row {
        name: &'static str,
        change: fn(&Index),
        /// Whether there was a count and a target before and after.
        before: (bool, bool),
        after: (bool, bool),
    }
    for Row { name, change, before, after } in [
        Row {
            name: "a new target",
            change: |index| index.set_target(key("c"), Some(TargetState::default())),
            before: (true, false),
            after: (true, true),
        },
        Row {
            name: "a deleted target",
            change: |index| index.set_target(key("a"), None),
            before: (false, true),
            after: (false, false),
        },
        Row {
            name: "a new ReplicaCount",
            change: |index| {
                index.set_replica_count(key("a"), Some(ReplicaCountBuilder::new("a").state()), 9);
            },
            before: (false, true),
            after: (true, true),
        },
        Row {
            name: "a deleted ReplicaCount",
            change: |index| index.set_replica_count(key("b"), None, 9),
            before: (true, true),
            after: (false, true),
        },
        Row {
            name: "an autoscaler",
            change: |index| index.set_autoscaler(("shop".into(), "b".into()), Some(key("b"))),
            before: (true, true),
            after: (true, true),
        },
        Row {
            name: "a kind that is not watched any more",
            change: |index| index.set_kind(&key("a").kind, KindState::Unlisted),
            before: (false, true),
            after: (false, false),
        },
    ] {
        let index = index();
        index.set_kind(&key("a").kind, KindState::Watched(Arc::new(TargetKind::apps()[0].clone())));
        let mut events = index.changes();
        change(&index);
        let event = events.try_recv().unwrap();
        let parts = |snapshot: &TargetSnapshot| (snapshot.count.is_some(), snapshot.target.is_some());
        assert_eq!((parts(&event.before()), parts(&event.after)), (before, after), "{name}");
    }
}

#[test]
fn enforcement_receives_events_of_managed_targets_only() {
    let index = index();
    let (snapshots, mut events) = index.attach_enforcement();
    assert_eq!(snapshots.len(), 2);
    index.set_target(key("a"), None);
    index.set_target(key("b"), None);
    index.set_replica_count(key("b"), None, 7);
    let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|event| (event.key, (event.count.is_some(), event.target.is_some())))
        .collect();
    assert_eq!(received, [(key("b"), (true, false)), (key("b"), (false, false))]);
    assert_eq!(index.version(), 7);
}

#[test]
fn an_event_of_a_watch_has_the_version_that_it_replaced() {
    let index = index();
    let target =
        |uid: &str, resource_version| TargetState { uid: uid.into(), resource_version, ..TargetState::default() };
    let count = |uid: &str, resource_version| {
        Some(ReplicaCountState { uid: uid.into(), resource_version, ..ReplicaCountBuilder::new("b").state() })
    };
    index.set_target(key("b"), None);
    index.set_replica_count(key("b"), count("c", 20), 20);
    let (_, mut events) = index.attach_enforcement();
    type Step<'a> = (&'a str, Box<dyn Fn() + 'a>, Option<ReplacedVersion>);
    let steps: [Step<'_>; 10] = [
        ("created", Box::new(|| index.set_target(key("b"), Some(target("u", 7)))), Some(ReplacedVersion::Target(0))),
        ("updated", Box::new(|| index.set_target(key("b"), Some(target("u", 9)))), Some(ReplacedVersion::Target(7))),
        ("an older state, which is left out", Box::new(|| index.set_target(key("b"), Some(target("u", 8)))), None),
        ("listed", Box::new(|| index.set_listed_target(key("b"), target("u", 12))), None),
        (
            "another object",
            Box::new(|| index.set_target(key("b"), Some(target("v", 15)))),
            Some(ReplacedVersion::Target(0)),
        ),
        (
            "the ReplicaCount",
            Box::new(|| index.set_replica_count(key("b"), count("c", 21), 21)),
            Some(ReplacedVersion::Count(20)),
        ),
        (
            "an older ReplicaCount, which is left out",
            Box::new(|| index.set_replica_count(key("b"), count("c", 19), 21)),
            None,
        ),
        ("the ReplicaCount, listed", Box::new(|| index.set_replica_count(key("b"), count("c", 22), 0)), None),
        (
            "another ReplicaCount",
            Box::new(|| index.set_replica_count(key("b"), count("d", 23), 23)),
            Some(ReplacedVersion::Count(0)),
        ),
        ("an autoscaler", Box::new(|| index.set_autoscaler(("shop".into(), "b".into()), Some(key("b")))), None),
    ];
    for (name, step, expected) in steps {
        step();
        assert_eq!(events.try_recv().unwrap().replaced, expected, "{name}");
    }
}

#[test]
fn an_older_state_of_the_same_object_changes_nothing() {
    let index = Index::default();
    let stored = |uid: &str, resource_version| {
        let state = TargetState { uid: uid.into(), resource_version, ..TargetState::default() };
        index.set_target(key("a"), Some(state));
        let count = ReplicaCountState { uid: uid.into(), resource_version, ..ReplicaCountBuilder::new("a").state() };
        index.set_replica_count(key("a"), Some(count), resource_version);
        let snapshot = index.get(&key("a"));
        (snapshot.target.unwrap().resource_version, snapshot.count.unwrap().resource_version)
    };
    for (name, uid, version, expected) in [
        ("the first", "u", 9, 9),
        ("an older one, which a list is behind with", "u", 8, 9),
        ("numbers are no texts", "u", 10, 10),
        ("the same version", "u", 10, 10),
        ("another object", "v", 7, 7),
        ("without a version", "v", 0, 0),
    ] {
        assert_eq!(stored(uid, version), (expected, expected), "{name}");
    }
    index.set_target(key("a"), None);
    assert!(index.get(&key("a")).target.is_none(), "a deletion has no older state");
}

#[test]
fn a_list_is_compared_with_all_known_targets_of_its_kind() {
    let index = index();
    let other = TargetKey { kind: TargetKind::apps()[1].group_kind.clone(), ..key("e") };
    index.set_target(other, Some(TargetState::default()));
    assert_eq!(index.targets_of(&key("a").kind), ["a", "b", "d"].map(key).into());
    assert_eq!(index.managed(), ["b", "c"].map(key).into());
}

#[test]
fn it_is_synced_when_every_source_that_is_always_there_is() {
    let index = index();
    let stateful_set = WatchSource::Targets(TargetKind::apps()[1].group_kind.clone());
    for source in
        [WatchSource::ReplicaCounts, WatchSource::Autoscalers, WatchSource::Targets(key("a").kind), stateful_set]
    {
        assert!(!index.is_synced());
        index.sync_state.mark_synced(&source);
    }
    assert!(index.is_synced());
}

#[test]
fn enforcement_receives_events_when_the_kind_or_autoscaler_of_a_managed_target_changes() {
    let index = index();
    let (_, mut events) = index.attach_enforcement();
    let kind = Arc::new(TargetKind::apps()[0].clone());
    index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
    index.set_kind(&kind.group_kind, KindState::Watched(kind.clone()));
    let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.kind).collect();
    assert_eq!(
        received,
        [KindState::Watched(kind.clone()), KindState::Watched(kind.clone())],
        "one event for b and one for c"
    );
    for target in ["a", "b"] {
        index.set_autoscaler(("shop".into(), target.into()), Some(key(target)));
    }
    let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.autoscaler).collect();
    assert_eq!(received, [Some("b".into())]);
    index.set_kind(&kind.group_kind, KindState::Unlisted);
    assert!(index.get(&key("a")).target.is_none(), "the index forgets targets that are not watched");
}

#[test]
fn an_autoscaler_is_an_event_of_the_target_whose_kind_it_writes_in_lower_case() {
    let index = index();
    index.set_kind(&key("b").kind, KindState::Watched(Arc::new(TargetKind::apps()[0].clone())));
    let (_, mut events) = index.attach_enforcement();
    let written = TargetKey { kind: GroupKind::new("deployment", "apps"), ..key("b") };
    for target in [Some(written), None] {
        let expected = target.as_ref().map(|_| Arc::from("hpa"));
        index.set_autoscaler(("shop".into(), "hpa".into()), target);
        let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let received: Vec<_> = received.into_iter().map(|event| (event.key, event.autoscaler)).collect();
        assert_eq!(received, [(key("b"), expected)]);
    }
}

#[test]
fn an_autoscaler_is_an_event_of_a_managed_target_of_a_kind_that_is_not_known() {
    let index = index();
    let mut events = index.changes();
    for (name, target, expected) in [("managed", "b", vec![key("b")]), ("not managed", "a", vec![])] {
        index.set_autoscaler(("shop".into(), target.into()), Some(key(target)));
        let received: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let received: Vec<_> = received.iter().map(|event| event.after.key.clone()).collect();
        assert_eq!(received, expected, "{name}");
    }
}

#[test]
fn a_replica_set_with_a_controller_is_kept_only_while_it_is_managed() {
    let index = Index::default();
    let kind = TargetKind::apps()[2].group_kind.clone();
    let [owned, alone] = ["owned", "alone"].map(|name| TargetKey { kind: kind.clone(), ..key(name) });
    let controlled = || TargetState { controller: Some("Deployment web".into()), ..TargetState::default() };
    let is_known = || index.get(&owned).target.is_some();
    index.set_target(alone.clone(), Some(TargetState::default()));
    index.set_target(owned.clone(), Some(controlled()));
    assert!(index.get(&alone).target.is_some() && !is_known());
    index.set_replica_count(owned.clone(), Some(ReplicaCountBuilder::new("x").state()), 1);
    assert_eq!(index.take_missing_replica_sets(), [owned.clone()].into());
    index.set_replica_count(owned.clone(), Some(ReplicaCountBuilder::new("x").version(2).state()), 2);
    assert!(index.take_missing_replica_sets().is_empty(), "it was looked for");
    index.set_target(owned.clone(), Some(controlled()));
    assert!(is_known());
    index.set_replica_count(owned.clone(), None, 3);
    assert!(!is_known());
    index.set_replica_count(owned.clone(), Some(ReplicaCountBuilder::new("x").state()), 4);
    index.set_replica_count(owned.clone(), None, 5);
    assert!(index.take_missing_replica_sets().is_empty(), "it is not managed any more");
    index.set_target(owned.clone(), Some(TargetState::default()));
    assert!(is_known(), "the controller has let go of it");
    index.set_target(owned.clone(), Some(controlled()));
    assert!(!is_known(), "a controller has taken it over");
}
