//! Several appliers of one count.

use super::*;

#[test]
fn two_appliers_of_the_same_count_are_both_remembered() {
    let mut observed = Observed::default();
    observed.see(&[applied_by("helm", 1, true), applied_by("argocd", 2, true)], 3);
    assert_eq!(names(&observed.0), ["helm", "argocd"]);
    observed.see(&[applied_by("helm", 1, true), applied_by("argocd", 2, false)], 3);
    assert_eq!(names(&observed.0), ["helm"], "only the owner is left");
}

#[test]
fn two_appliers_are_remembered_while_one_of_them_applies() {
    let (ci, argocd) =
        (|second, owns| applied_by("ci", second, owns), |second, owns| applied_by("argocd", second, owns));
    let both = || {
        let mut observed = Observed::default();
        observed.see(&[ci(1, true), argocd(2, true)], 2);
        observed.see(&[ci(1, false), argocd(2, false), scaled_by(FIELD_MANAGER)], 4);
        observed
    };
    struct Row {
        name: &'static str,
        states: Vec<Vec<ManagedFieldsEntry>>,
        expected: &'static [&'static str],
    }
    for row in [
        Row {
            name: "it has no owner",
            states: vec![vec![ci(1, false), argocd(2, false)]],
            expected: &["ci", "argocd"],
        },
        Row {
            name: "one applies its unchanged count, and it is corrected",
            states: vec![
                vec![ci(5, true), argocd(2, false)],
                vec![ci(5, true), argocd(2, false)],
                vec![ci(5, false), argocd(2, false), scaled_by(FIELD_MANAGER)],
                vec![ci(5, false), argocd(2, false)],
            ],
            expected: &["ci", "argocd"],
        },
        Row {
            name: "then the other",
            states: vec![
                vec![ci(5, true), argocd(2, false)],
                vec![ci(5, false), argocd(2, false)],
                vec![ci(5, false), argocd(6, true)],
            ],
            expected: &["argocd", "ci"],
        },
        Row {
            name: "one takes it from the other by force",
            states: vec![vec![ci(5, true), argocd(2, false)], vec![ci(5, false), argocd(6, true)]],
            expected: &["argocd"],
        },
        Row {
            name: "one leaves it out",
            states: vec![vec![ci(1, false), argocd(2, false)], vec![ci(5, false), argocd(2, false)]],
            expected: &["argocd"],
        },
    ] {
        let mut observed = both();
        for entries in &row.states {
            observed.see(entries, 3);
        }
        assert_eq!(names(&observed.0), row.expected, "{}", row.name);
    }
}

#[test]
fn after_a_restart_two_appliers_of_a_count_without_an_owner_are_both_known() {
    let mut observed = Observed::after_a_restart(&["ci", "argocd"]);
    observed.see(&[applied_by("ci", 5, false), applied_by("argocd", 5, false)], 4);
    assert_eq!(names(&observed.0), ["ci", "argocd"]);
    observed.see(&[applied_by("ci", 7, true), applied_by("argocd", 5, false)], 2);
    assert_eq!(names(&observed.0), ["ci", "argocd"], "one has applied its unchanged count");
    let mut single = Observed::after_a_restart(&["ci"]);
    single.see(&[applied_by("ci", 5, false), applied_by("argocd", 6, true)], 4);
    assert_eq!(names(&single.0), ["argocd"], "it was taken while no server watched");
}

#[test]
fn appliers_beyond_the_bound_are_forgotten() {
    let mut appliers = Appliers::default();
    for number in 0..200 {
        for entry in [applied_by(&format!("tool-{number}"), number, true), scaled_by("kubectl")] {
            appliers = appliers.after(&owners(&[entry]), Some(3), Some(3)).0;
        }
    }
    assert_eq!((appliers.names().count(), appliers.names().next()), (MAX_OWNERS, Some("tool-199")));
    assert_eq!(names(&Observed::after_a_restart(&["helm"; 1000]).0).len(), MAX_OWNERS);
}
