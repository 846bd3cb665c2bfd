//! The kinds of targets.

use super::*;

#[test]
fn states_of_many_kinds_reach_their_managed_targets_alone() {
    let index = index();
    let (_, mut events) = index.attach_enforcement();
    let problem =
        KindState::Unavailable(Arc::new(crate::index::Unavailable { reason: "KindNotServed", message: String::new() }));
    let widget = GroupKind::new("Widget", "example.com");
    index.set_kinds([(key("b").kind, problem.clone()), (widget.clone(), problem.clone())].into());
    let mut received = || std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.key).collect::<Vec<_>>();
    assert_eq!(received(), [key("b"), key("c")]);
    index.set_kinds([(key("b").kind, problem), (widget, KindState::Unlisted)].into());
    assert_eq!(received(), [], "the same state again is no event");
}

#[test]
fn the_kinds_in_use_are_those_that_a_replica_count_names() {
    let (index, kind) = (index(), key("a").kind);
    let (used, unused) = (Some((kind.clone(), true)), Some((kind, false)));
    let count = |name: &str| Some(ReplicaCountBuilder::new(name).version(11).state());
    struct Row {
        name: &'static str,
        target: &'static str,
        count: Option<ReplicaCountState>,
        changed: Option<(GroupKind, bool)>,
    }
    assert_eq!(index.take_changed_kinds(2), used.clone().into_iter().collect::<Vec<_>>(), "named by two");
    for row in [
        Row { name: "one is left", target: "b", count: None, changed: None },
        Row { name: "none is left", target: "c", count: None, changed: unused },
        Row { name: "gone already", target: "c", count: None, changed: None },
        Row { name: "named again", target: "c", count: count("c"), changed: used },
        Row { name: "by another one too", target: "b", count: count("b"), changed: None },
    ] {
        index.set_replica_count(key(row.target), row.count, 11);
        assert_eq!(index.take_changed_kinds(2), row.changed.into_iter().collect::<Vec<_>>(), "{}", row.name);
    }
}

#[test]
fn changed_kinds_are_taken_in_portions() {
    let index = Index::default();
    let key = |number: usize| TargetKey::new("shop", "example.com", &format!("Kind{number}"), "web").unwrap();
    for number in 0..5 {
        index.set_replica_count(key(number), Some(ReplicaCountBuilder::new("web").state()), 0);
    }
    index.set_replica_count(key(3), None, 0);
    let taken: Vec<_> = (0..4).map(|_| index.take_changed_kinds(2)).collect();
    let kind = |number: usize, is_in_use: bool| (key(number).kind, is_in_use);
    let expected =
        [vec![kind(0, true), kind(1, true)], vec![kind(2, true), kind(3, false)], vec![kind(4, true)], vec![]];
    assert_eq!(taken, expected);
    assert!(index.is_in_use(&key(0).kind) && !index.is_in_use(&key(3).kind));
}
