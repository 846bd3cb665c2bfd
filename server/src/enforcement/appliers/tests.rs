mod several;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::*;
use crate::{
    enforcement::fixtures::{applied_by, at, scaled_by},
    resources::{FIELD_MANAGER, FieldPath},
};

fn owners(entries: &[ManagedFieldsEntry]) -> FieldOwners {
    FieldOwners::of(entries, &FieldPath::replicas())
}

fn names(appliers: &Appliers) -> Vec<&str> {
    appliers.names().collect()
}

/// Appliers that go through states of a target, each with its entries of managedFields and its count.
#[derive(Default)]
struct Observed(Appliers, Option<i32>);

impl Observed {
    /// The state before any state was seen, by the appliers of a status.
    fn after_a_restart(names: &[&str]) -> Self {
        let appliers = names.iter().map(|name| (*name).to_owned()).collect();
        Self(Appliers::of(&ReplicaCountStatus { appliers, ..ReplicaCountStatus::default() }), None)
    }

    /// helm applies the count.
    fn by_helm() -> Self {
        let mut observed = Self::default();
        observed.see(&[applied_by("helm", 1, true)], 3);
        observed
    }

    /// Sees a state, and returns the applier that has left the count out.
    fn see(&mut self, entries: &[ManagedFieldsEntry], replicas: i32) -> Option<String> {
        let (after, left_out) = self.0.after(&owners(entries), Some(replicas), self.1.replace(replicas));
        self.0 = after;
        left_out.map(|writer| writer.manager.to_string())
    }
}

#[test]
fn an_applier_is_remembered_while_others_have_taken_the_count_from_it() {
    let mut observed = Observed::by_helm();
    for taken_by in [vec![scaled_by("kubectl")], vec![scaled_by(FIELD_MANAGER)], vec![]] {
        let mut entries = vec![applied_by("helm", 1, false)];
        entries.extend(taken_by);
        assert_eq!(observed.see(&entries, 0), None);
        assert_eq!(names(&observed.0), ["helm"], "{entries:?}");
    }
    observed.see(&[scaled_by("kubectl")], 3);
    assert_eq!(names(&observed.0), ["helm"], "its entry is gone with the only field that it had");
}

#[test]
fn an_applier_that_leaves_the_count_out_is_forgotten_and_named() {
    let mut observed = Observed::by_helm();
    assert_eq!(observed.see(&[applied_by("helm", 2, false)], 3).as_deref(), Some("helm"));
    assert!(names(&observed.0).is_empty());
}

#[test]
fn an_applier_that_leaves_the_count_out_within_a_second_is_noticed_too() {
    let mut observed = Observed::by_helm();
    assert!(observed.see(&[applied_by("helm", 1, false)], 1).is_some());
    assert!(names(&observed.0).is_empty());
}

#[test]
fn a_0_through_scale_makes_no_applier_forgotten() {
    let mut observed = Observed::by_helm();
    // It leaves no owner, and neither does the correction that follows it.
    for replicas in [0, 3] {
        assert_eq!(observed.see(&[applied_by("helm", 1, false)], replicas), None);
        assert_eq!(names(&observed.0), ["helm"], "{replicas}");
    }
}

#[test]
fn a_manager_that_never_applied_the_count_is_never_given_it() {
    let mut observed = Observed::default();
    for second in 1..4 {
        observed.see(&[applied_by("helm", second, false), scaled_by(FIELD_MANAGER)], 3);
        assert!(names(&observed.0).is_empty());
    }
    let owners = owners(&[applied_by("helm", 4, false), scaled_by(FIELD_MANAGER)]);
    assert!(!observed.0.are_missing_in(&owners), "this server stays the owner");
}

#[test]
fn after_a_restart_the_status_names_the_appliers() {
    let mut observed = Observed::after_a_restart(&["helm"]);
    assert_eq!(observed.see(&[applied_by("helm", 5, false), scaled_by(FIELD_MANAGER)], 3), None);
    assert_eq!(names(&observed.0), ["helm"]);
    assert!(observed.see(&[applied_by("helm", 6, false)], 3).is_some(), "from then on its time is known");
}

#[test]
fn after_a_restart_an_applier_of_a_count_without_an_owner_is_forgotten() {
    let mut observed = Observed::after_a_restart(&["helm"]);
    // The server did not watch, so it does not know whether it was helm that left the count without an owner.
    assert_eq!(observed.see(&[applied_by("helm", 5, false)], 3), None);
    assert!(names(&observed.0).is_empty());
}

#[test]
fn an_applier_of_a_status_is_remembered_unless_it_may_have_left_the_count_out_since() {
    struct Row {
        name: &'static str,
        /// When the status was written, and when helm applied.
        reported: Option<i64>,
        applied: i64,
        owner: Option<&'static str>,
        expected: &'static [&'static str],
    }
    for row in [
        Row { name: "a 0 since the status", reported: Some(20), applied: 5, owner: None, expected: &["helm"] },
        Row { name: "perhaps an apply since", reported: Some(20), applied: 11, owner: None, expected: &[] },
        Row { name: "an apply since", reported: Some(20), applied: 21, owner: None, expected: &[] },
        Row { name: "the time is not known", reported: None, applied: 5, owner: None, expected: &[] },
        Row {
            name: "an apply since, and a correction of it",
            reported: Some(20),
            applied: 21,
            owner: Some(FIELD_MANAGER),
            expected: &["helm"],
        },
    ] {
        let mut observed = Observed::after_a_restart(&["helm"]);
        observed.0 = observed.0.reported_at(row.reported.map(|second| at(second).as_second()));
        let mut entries = vec![applied_by("helm", row.applied, false)];
        entries.extend(row.owner.map(scaled_by));
        for replicas in [0, 3] {
            observed.see(&entries, replicas);
            assert_eq!(names(&observed.0), row.expected, "{}: {replicas}", row.name);
        }
    }
}

#[test]
fn owners_are_missing_where_this_server_stands_in_for_appliers_or_there_are_none() {
    struct Row {
        name: &'static str,
        appliers: Appliers,
        entries: Vec<ManagedFieldsEntry>,
        expected: bool,
    }
    let helm = || Observed::by_helm().0;
    let none = Appliers::default;
    for row in [
        Row {
            name: "this server owns it instead of helm",
            appliers: helm(),
            entries: vec![applied_by("helm", 1, false), scaled_by(FIELD_MANAGER)],
            expected: true,
        },
        Row { name: "helm owns it", appliers: helm(), entries: vec![applied_by("helm", 1, true)], expected: false },
        Row { name: "helm lost it", appliers: helm(), entries: vec![applied_by("helm", 1, false)], expected: true },
        Row {
            name: "this server, without appliers",
            appliers: none(),
            entries: vec![scaled_by(FIELD_MANAGER)],
            expected: false,
        },
        Row {
            name: "kubectl, without appliers",
            appliers: none(),
            entries: vec![scaled_by("kubectl")],
            expected: false,
        },
        Row { name: "no owner at all", appliers: none(), entries: vec![], expected: true },
        Row {
            name: "no owner, with two appliers",
            appliers: Observed::after_a_restart(&["ci", "argocd"]).0,
            entries: vec![],
            expected: false,
        },
        Row {
            name: "this server owns it instead of two appliers",
            appliers: Observed::after_a_restart(&["ci", "argocd"]).0,
            entries: vec![scaled_by(FIELD_MANAGER)],
            expected: true,
        },
    ] {
        assert_eq!(row.appliers.are_missing_in(&owners(&row.entries)), row.expected, "{}", row.name);
    }
}

#[test]
fn an_update_that_took_a_kept_count_loses_it_again() {
    let edit = || {
        let mut entry = scaled_by("kubectl-edit");
        entry.subresource = None;
        entry
    };
    let helm = |owns| applied_by("helm", 1, owns);
    let kept = (vec![helm(false), edit()], 3);
    struct Row {
        name: &'static str,
        /// After helm has applied 3.
        states: Vec<(Vec<ManagedFieldsEntry>, i32)>,
        expected: bool,
    }
    for row in [
        Row { name: "the guard has kept the count", states: vec![kept.clone()], expected: true },
        Row { name: "and its status has changed", states: vec![kept.clone(), kept.clone()], expected: true },
        Row {
            name: "kept while this server owned it",
            states: vec![(vec![helm(false), scaled_by(FIELD_MANAGER)], 3), kept.clone()],
            expected: true,
        },
        Row { name: "changed", states: vec![(vec![helm(false), edit()], 7)], expected: false },
        Row {
            name: "changed, and its status has changed",
            states: vec![(vec![helm(false), edit()], 7), (vec![helm(false), edit()], 7)],
            expected: false,
        },
        Row {
            name: "kept, and then changed",
            states: vec![kept.clone(), (vec![helm(false), edit()], 7)],
            expected: false,
        },
        Row { name: "kept, and given back", states: vec![kept.clone(), (vec![helm(true)], 3)], expected: false },
        Row {
            name: "helm applies the same count again, and owns it too",
            states: vec![kept.clone(), (vec![helm(true), edit()], 3)],
            expected: false,
        },
    ] {
        let mut observed = Observed::by_helm();
        for (entries, replicas) in &row.states {
            observed.see(entries, *replicas);
        }
        let (entries, _) = row.states.last().unwrap();
        assert_eq!(observed.0.are_missing_in(&owners(entries)), row.expected, "{}", row.name);
        assert_eq!(names(&observed.0), ["helm"], "{}", row.name);
    }
    let mut restarted = Observed::after_a_restart(&["helm"]);
    restarted.see(&kept.0, 3);
    assert!(!restarted.0.are_missing_in(&owners(&kept.0)), "how it was taken before the term is unknown");
}
