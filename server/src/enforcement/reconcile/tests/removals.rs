//! Counts that somebody removes, and those that were never read.

use super::*;

#[test]
fn a_removed_count_is_a_drift_and_so_is_what_somebody_writes_instead() {
    struct Row {
        name: &'static str,
        /// Whether another server leads after the count was removed.
        next_leads: bool,
        /// The state after that.
        then: TargetFixture,
        expected: Option<ShortDrift<'static>>,
    }
    let scaled = Some(("kubectl", "Update", "scale", None, Some(7)));
    for row in [
        Row { name: "another count", next_leads: false, then: target(12, 7).scaled_by("kubectl"), expected: scaled },
        Row { name: "the desired count", next_leads: false, then: target(12, 3).scaled_by("kubectl"), expected: None },
        Row { name: "still none", next_leads: false, then: target(12, 0).without_count(), expected: None },
        Row {
            name: "after a change of leaders",
            next_leads: true,
            then: target(12, 7).scaled_by("kubectl"),
            expected: scaled,
        },
        Row { name: "still none then", next_leads: true, then: target(12, 0).without_count(), expected: None },
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        let decision = managed.see(1, target(11, 0).without_count());
        assert_eq!(short(decision.drift.as_ref()), Some(("unknown", "", "", Some(3), None)), "{}", row.name);
        assert_eq!(corrects_to(decision.correct.as_ref()), Some(3), "{}", row.name);
        assert_eq!(managed.ready(1), "Correcting", "{}", row.name);
        if row.next_leads {
            let status = serde_json::to_value(managed.status(1)).unwrap();
            managed = Managed::with(replica_count(2, 1, json!({"replicas": 3}), status));
        }
        let decision = managed.see(2, row.then);
        assert_eq!(short(decision.drift.as_ref()), row.expected, "{}", row.name);
        let decision = managed.correct(3, 3, 13);
        let is_put_back = decision.ended_drift.is_some() || row.expected.is_none();
        assert!(is_put_back && managed.memory.history.open_drift().is_none(), "{}", row.name);
    }
}

#[test]
fn an_applier_that_leaves_out_a_count_without_a_default_has_removed_it() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3).applied_by("helm", 0, true));
    let decision = managed.see(5, target(11, 0).without_count().applied_by("helm", 5, false));
    assert_eq!(short(decision.drift.as_ref()), Some(("helm", "Apply", "", Some(3), None)));
}

#[test]
fn a_count_that_was_never_read_is_no_drift() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 0).without_count());
    managed.correct(1, 3, 11);
    let decision = managed.see(2, target(12, 0).without_count());
    assert_eq!((decision.drift, decision.assessment), (None, Assessment::Correct(3)));
}

#[test]
fn a_removal_names_its_user() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let removed = managed.see_reviewed(1, target(11, 0).without_count(), "bob", 10).drift.unwrap();
    assert_eq!((&*removed.user, removed.actor().as_str()), ("bob", "bob"));
}

#[test]
fn a_count_that_cannot_be_read_any_more_was_not_removed() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    let status = serde_json::to_value(managed.status(1)).unwrap();
    // The next server may know another path to the count, if it may no longer read the CRD.
    managed = Managed::with(replica_count(2, 1, json!({"replicas": 3}), status));
    let decision = managed.see(2, target(11, 3).without_count());
    assert_eq!((decision.drift.as_ref(), corrects_to(decision.correct.as_ref())), (None, Some(3)));
    managed.correct(3, 3, 12);
    assert_eq!(managed.ready(3), "InPlace");
    for (second, version) in [(4, 13), (5, 14)] {
        let decision = managed.see(second, target(version, 3).without_count());
        assert_eq!((decision.drift, &*managed.ready(second)), (None, "InPlace"), "{version}");
    }
}

#[test]
fn a_removed_count_that_another_one_replaced_is_not_removed_for_the_next_leader() {
    let mut managed = Managed::at(3);
    managed.see(0, target(10, 3));
    managed.see(1, target(11, 0).without_count());
    managed.set(2, json!({"replicas": 5}));
    managed.correct(2, 5, 12);
    managed.see(3, target(12, 5).scaled_by("replica-count-manager"));
    let status = serde_json::to_value(managed.status(3)).unwrap();
    managed = Managed::with(replica_count(3, 2, json!({"replicas": 5}), status));
    let decision = managed.see(4, target(13, 0).without_count());
    assert_eq!(decision.drift, None, "it may have its count at another path");
}

#[test]
fn a_count_at_another_path_is_no_drift() {
    for (name, then, expected) in [
        ("none", target(10, 0).without_count(), Some(3)),
        ("another number", target(10, 7), Some(3)),
        ("the desired count", target(10, 3), None),
    ] {
        let mut managed = Managed::at(3);
        managed.see(0, target(10, 3));
        let watched = std::mem::replace(&mut managed.observation.kind, KindState::Unlisted);
        managed.observation.target = None;
        managed.decide(1);
        assert_eq!(managed.see(2, then).drift, None, "{name}");
        managed.observation.kind = watched;
        let decision = managed.decide(3);
        assert_eq!((decision.drift.as_ref(), corrects_to(decision.correct.as_ref())), (None, expected), "{name}");
        let drift = managed.see(4, target(12, 9).scaled_by("kubectl")).drift;
        assert_eq!(drift.is_some(), name != "none", "{name}: a later write");
    }
}
