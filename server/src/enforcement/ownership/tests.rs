use jiff::Timestamp;
use serde_json::json;

use super::*;

fn kind() -> TargetKind {
    TargetKind::apps()[0].clone()
}

fn entry(manager: &str, operation: &str, subresource: &str, time: Option<i64>, fields: Value) -> ManagedFieldsEntry {
    let time = time.map(|second| Timestamp::from_second(second).unwrap().to_string());
    let subresource = Some(subresource).filter(|name| !name.is_empty());
    serde_json::from_value(json!({
        "manager": manager, "operation": operation, "subresource": subresource, "time": time, "fieldsV1": fields,
    }))
    .unwrap()
}

fn helm(second: i64, replicas: bool) -> ManagedFieldsEntry {
    let spec = if replicas { json!({"f:replicas": {}, "f:template": {}}) } else { json!({"f:template": {}}) };
    entry("helm", "Apply", "", Some(second), json!({"f:spec": spec}))
}

fn by_scale(manager: &str) -> ManagedFieldsEntry {
    entry(manager, "Update", "scale", None, kind().replicas.only())
}

fn owners(entries: &[ManagedFieldsEntry]) -> FieldOwners {
    FieldOwners::of(entries, &kind().replicas)
}

fn recipient(manager: &str, second: Option<i64>) -> Recipient {
    Recipient { manager: manager.into(), time: second }
}

fn names(appliers: &Appliers) -> Vec<&str> {
    appliers.names().collect()
}

#[test]
fn an_applier_is_remembered_while_others_have_taken_the_count_from_it() {
    let mut appliers = Appliers::default();
    assert_eq!(appliers.observe(&owners(&[helm(1, true)]), Some(3)), None);
    for taken_by in [vec![by_scale("kubectl")], vec![by_scale(FIELD_MANAGER)], vec![]] {
        let mut entries = vec![helm(1, false)];
        entries.extend(taken_by);
        assert_eq!(appliers.observe(&owners(&entries), Some(0)), None);
        assert_eq!(names(&appliers), ["helm"], "{entries:?}");
    }
    appliers.observe(&owners(&[by_scale("kubectl")]), Some(3));
    assert_eq!(names(&appliers), ["helm"], "its entry is gone with the only field that it had");
}

#[test]
fn an_applier_that_leaves_the_count_out_is_forgotten_and_named() {
    let mut appliers = Appliers::default();
    appliers.observe(&owners(&[helm(1, true)]), Some(3));
    let left_out = appliers.observe(&owners(&[helm(2, false)]), Some(3));
    assert_eq!(left_out.map(|writer| writer.manager), Some("helm".into()));
    assert!(names(&appliers).is_empty());
}

#[test]
fn an_applier_that_leaves_the_count_out_within_a_second_is_noticed_too() {
    let mut appliers = Appliers::default();
    appliers.observe(&owners(&[helm(1, true)]), Some(3));
    assert!(appliers.observe(&owners(&[helm(1, false)]), Some(1)).is_some());
    assert!(names(&appliers).is_empty());
    // A 0 through /scale leaves no owner either, nor does the correction that follows it.
    appliers.observe(&owners(&[helm(1, true)]), Some(3));
    for replicas in [0, 3] {
        assert_eq!(appliers.observe(&owners(&[helm(1, false)]), Some(replicas)), None);
        assert_eq!(names(&appliers), ["helm"], "{replicas}");
    }
}

#[test]
fn one_that_never_applied_the_count_is_never_given_it() {
    let mut appliers = Appliers::default();
    for second in 1..4 {
        appliers.observe(&owners(&[helm(second, false), by_scale(FIELD_MANAGER)]), Some(3));
        assert!(names(&appliers).is_empty());
    }
    assert!(!appliers.are_missing_in(&owners(&[helm(4, false), by_scale(FIELD_MANAGER)])), "ours stays");
}

#[test]
fn after_a_restart_the_status_tells_whom_the_count_was_taken_from() {
    let status = ReplicaCountStatus { appliers: vec!["helm".into()], ..ReplicaCountStatus::default() };
    let mut appliers = Appliers::of(&status);
    assert_eq!(appliers.observe(&owners(&[helm(5, false), by_scale(FIELD_MANAGER)]), Some(3)), None);
    assert_eq!(names(&appliers), ["helm"]);
    assert!(appliers.observe(&owners(&[helm(6, false)]), Some(3)).is_some(), "from then on its time is known");
}

#[test]
fn owners_are_missing_where_ours_stands_in_for_appliers_or_there_are_none() {
    let mut helms = Appliers::default();
    helms.observe(&owners(&[helm(1, true)]), Some(3));
    let nobody = Appliers::default();
    for (appliers, entries, missing) in [
        (&helms, vec![helm(1, false), by_scale(FIELD_MANAGER)], true),
        (&helms, vec![helm(1, true)], false),
        (&helms, vec![helm(1, false)], true),
        (&nobody, vec![by_scale(FIELD_MANAGER)], false),
        (&nobody, vec![by_scale("kubectl")], false),
        (&nobody, vec![], true),
    ] {
        assert_eq!(appliers.are_missing_in(&owners(&entries)), missing, "{appliers:?} {entries:?}");
    }
}

/// Applies a patch as the API server does, far enough for these operations.
fn apply(entries: &[ManagedFieldsEntry], operations: Vec<Value>) -> Vec<ManagedFieldsEntry> {
    let patch: json_patch::Patch = serde_json::from_value(operations.into()).unwrap();
    let mut object = json!({"metadata": {"managedFields": entries}});
    // The API server takes an absent field for null in a test, this library does not.
    let patch = patch
        .0
        .into_iter()
        .filter(|one| !matches!(one, json_patch::PatchOperation::Test(test) if test.value.is_null()));
    json_patch::patch(&mut object, &patch.collect::<Vec<_>>()).unwrap();
    serde_json::from_value(object["metadata"]["managedFields"].take()).unwrap()
}

#[test]
fn the_patch_makes_the_appliers_owners_and_takes_ours_away() {
    let status = entry("kube-controller-manager", "Update", "status", Some(1), json!({"f:status": {"f:replicas": {}}}));
    let before = [by_scale(FIELD_MANAGER), helm(1, false), status.clone()];
    let patched = apply(&before, operations(&before, &kind(), &[recipient("helm", Some(1))]).unwrap());
    assert_eq!(patched, [helm(1, true), status]);
    assert_eq!(operations(&patched, &kind(), &[recipient("helm", Some(1))]), None, "once is enough");
}

#[test]
fn an_applier_that_has_applied_since_is_given_nothing() {
    let entries = [by_scale(FIELD_MANAGER), helm(2, false)];
    assert_eq!(operations(&entries, &kind(), &[recipient("helm", Some(1))]), None);
}

#[test]
fn an_object_without_managed_fields_gets_a_first_entry() {
    let operations = operations(&[], &kind(), &[]).unwrap();
    assert_eq!(operations[0]["path"], "/metadata/managedFields");
}

#[test]
fn after_a_restart_an_applier_of_a_count_that_nobody_owns_is_forgotten() {
    let status = ReplicaCountStatus { appliers: vec!["helm".into()], ..ReplicaCountStatus::default() };
    let mut appliers = Appliers::of(&status);
    // Whether it was helm that left it without an owner, nobody has seen.
    assert_eq!(appliers.observe(&owners(&[helm(5, false)]), Some(3)), None);
    assert!(names(&appliers).is_empty());
}

#[test]
fn an_applier_without_an_entry_gets_one_of_its_own() {
    let before = [by_scale(FIELD_MANAGER)];
    let patched = apply(&before, operations(&before, &kind(), &[recipient("scaler", None)]).unwrap());
    let owners = owners(&patched);
    assert_eq!(
        (owners.ours(), owners.appliers().count(), owners.last().map(|last| &*last.manager)),
        (false, 1, Some("scaler"))
    );
}

#[test]
fn where_nobody_is_left_to_own_the_count_we_do() {
    let before = [helm(1, false)];
    let patched = apply(&before, operations(&before, &kind(), &[]).unwrap());
    assert_eq!(owners(&patched).last().map(|last| (&*last.manager, last.scale)), Some((FIELD_MANAGER, true)));
    assert_eq!(operations(&patched, &kind(), &[]), None);
}

#[test]
fn a_missing_right_is_told_from_a_refused_object() {
    let status = |code, message: &str| Status { code, message: message.to_owned(), ..Status::default() };
    let rbac =
        "deployments.apps \"web\" is forbidden: User \"x\" cannot patch resource \"deployments\" in API group \"apps\"";
    assert!(is_missing_right(&status(403, rbac)));
    assert!(!is_missing_right(&status(
        403,
        "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'x' denied"
    )));
}
