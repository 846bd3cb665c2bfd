use super::*;
use crate::{
    enforcement::{
        appliers::Taken,
        fixtures::{applied_by, scaled_by},
    },
    resources::{FieldOwners, FieldPath},
};

fn kind() -> TargetKind {
    TargetKind::apps()[0].clone()
}

fn owners(entries: &[ManagedFieldsEntry]) -> FieldOwners {
    FieldOwners::of(entries, &kind().replicas)
}

fn recipient(manager: &str, time: Option<i64>) -> Recipient {
    Recipient { manager: manager.into(), time, reported: None, owned: false, taken: Taken::No }
}

/// helm, which applied at the second 1.
fn helm() -> Recipient {
    recipient("helm", applied_by("helm", 1, true).time.map(|time| time.0.as_second()))
}

/// The patch that the plan makes of these entries, if it makes one.
fn patch(entries: &[ManagedFieldsEntry], kind: &TargetKind, recipients: &[Recipient]) -> Option<Patch> {
    match plan_for(entries.iter().map(|entry| json!(entry)), kind, recipients) {
        Plan::Patch(patch) => Some(patch),
        Plan::Nothing | Plan::Outdated => None,
    }
}

fn plan_for(entries: impl Iterator<Item = Value>, kind: &TargetKind, recipients: &[Recipient]) -> Plan {
    let give_back = GiveBack {
        kind: Arc::new(kind.clone()),
        uid: "u".into(),
        recipients: recipients.to_vec(),
        after: Duration::ZERO,
    };
    plan(&entries.map(Entry::new).collect::<Vec<_>>(), &give_back)
}

/// Applies a patch as the API server does, far enough for these operations.
fn apply(entries: &[ManagedFieldsEntry], patch: Patch) -> Vec<ManagedFieldsEntry> {
    let mut object = json!({"metadata": {"managedFields": entries}});
    // The API server takes an absent field for null in a test, this library does not.
    let is_kept = |one: &PatchOperation| !matches!(one, PatchOperation::Test(test) if test.value.is_null());
    let patch: Vec<_> = patch.0.into_iter().filter(is_kept).collect();
    json_patch::patch(&mut object, &patch).unwrap();
    serde_json::from_value(object["metadata"]["managedFields"].take()).unwrap()
}

#[test]
fn the_patch_makes_the_appliers_owners_and_takes_ours_away() {
    let status: ManagedFieldsEntry = serde_json::from_value(json!({
        "manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
        "time": "1970-01-01T00:00:01Z", "fieldsV1": {"f:status": {"f:replicas": {}}},
    }))
    .unwrap();
    let before = [scaled_by(FIELD_MANAGER), applied_by("helm", 1, false), status.clone()];
    let patched = apply(&before, patch(&before, &kind(), &[helm()]).unwrap());
    assert_eq!(patched, [applied_by("helm", 1, true), status]);
    assert_eq!(patch(&patched, &kind(), &[helm()]), None, "once is enough");
}

#[test]
fn an_update_whose_count_was_kept_loses_the_count_alone() {
    let edited = |fields: Value| -> ManagedFieldsEntry {
        let entry = json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields});
        serde_json::from_value(entry).unwrap()
    };
    let kept = Recipient { taken: Taken::Kept, ..helm() };
    for (name, edited_before, edited_after) in [
        ("the count alone", json!({"f:spec": {"f:replicas": {}}}), None),
        (
            "another field of the spec",
            json!({"f:spec": {"f:replicas": {}, "f:paused": {}}}),
            Some(json!({"f:spec": {"f:paused": {}}})),
        ),
        (
            "a field elsewhere",
            json!({"f:metadata": {"f:labels": {}}, "f:spec": {"f:replicas": {}}}),
            Some(json!({"f:metadata": {"f:labels": {}}})),
        ),
    ] {
        let before = [edited(edited_before), applied_by("helm", 1, false), scaled_by("kubectl")];
        let mut expected: Vec<_> = edited_after.map(edited).into_iter().collect();
        expected.push(applied_by("helm", 1, true));
        let patched = apply(&before, patch(&before, &kind(), std::slice::from_ref(&kept)).unwrap());
        assert_eq!(patched, expected, "{name}");
        assert_eq!(patch(&patched, &kind(), std::slice::from_ref(&kept)), None, "{name}: once is enough");
        let changed = apply(&before, patch(&before, &kind(), &[helm()]).unwrap());
        assert!(owners(&changed).last().is_some_and(|owner| &*owner.manager == "kubectl"), "{name}: by a change");
    }
}

#[test]
fn every_entry_of_ours_is_taken_away() {
    let before = [scaled_by(FIELD_MANAGER), applied_by("helm", 1, false), scaled_by(FIELD_MANAGER)];
    let patched = apply(&before, patch(&before, &kind(), &[helm()]).unwrap());
    assert_eq!(patched, [applied_by("helm", 1, true)]);
}

#[test]
fn an_applier_that_has_applied_since_is_given_nothing() {
    let entries = [scaled_by(FIELD_MANAGER), applied_by("helm", 2, false)];
    assert_eq!(plan_for(entries.iter().map(|entry| json!(entry)), &kind(), &[helm()]), Plan::Outdated);
    assert!(patch(&entries, &kind(), &[recipient("helm", None)]).is_some(), "its time is not known");
}

#[test]
fn entries_that_cannot_be_read_keep_their_places_and_are_tested_as_they_were_sent() {
    let end = json!("9999-12-31T00:00:00Z");
    let mut helm = json!(applied_by("helm", 1, false));
    helm["time"] = end.clone();
    let entries = [json!({"manager": 1, "time": end}), json!(2), helm, json!(scaled_by(FIELD_MANAGER))];
    let plan = plan_for(entries.into_iter(), &kind(), &[recipient("helm", None)]);
    let Plan::Patch(patch) = plan else { panic!("{plan:?}") };
    let paths: Vec<_> = patch.0.iter().map(|one| one.path().to_string()).collect();
    assert!(paths.contains(&"/metadata/managedFields/2/fieldsV1/f:spec/f:replicas".to_owned()), "{paths:?}");
    assert_eq!(paths.last().map(String::as_str), Some("/metadata/managedFields/3"), "ours is removed");
    let is_time = |one: &&PatchOperation| one.path().as_str() == "/metadata/managedFields/2/time";
    let time = patch.0.iter().find(is_time).unwrap();
    assert!(matches!(time, PatchOperation::Test(test) if test.value == end), "{time:?}");
}

#[test]
fn an_object_without_managed_fields_gets_a_first_entry() {
    let patch = patch(&[], &kind(), &[]).unwrap();
    assert_eq!(patch.0[0].path().as_str(), "/metadata/managedFields");
}

#[test]
fn an_applier_without_an_entry_gets_one_of_its_own() {
    let before = [scaled_by(FIELD_MANAGER)];
    let patched = apply(&before, patch(&before, &kind(), &[recipient("scaler", None)]).unwrap());
    let owners = owners(&patched);
    assert_eq!(
        (owners.ours(), owners.appliers().count(), owners.last().map(|last| &*last.manager)),
        (false, 1, Some("scaler"))
    );
}

#[test]
fn this_server_owns_a_count_without_any_other_owner() {
    let before = [applied_by("helm", 1, false)];
    let patched = apply(&before, patch(&before, &kind(), &[]).unwrap());
    assert_eq!(owners(&patched).last().map(|last| (&*last.manager, last.scale)), Some((FIELD_MANAGER, true)));
    assert_eq!(patch(&patched, &kind(), &[]), None);
}

#[test]
fn several_appliers_leave_the_count_without_an_owner() {
    let before = [scaled_by(FIELD_MANAGER), applied_by("helm", 1, false), applied_by("argocd", 1, false)];
    let both = [helm(), recipient("argocd", None)];
    let patched = apply(&before, patch(&before, &kind(), &both).unwrap());
    assert_eq!(patched, before[1..]);
    assert_eq!(patch(&patched, &kind(), &both), None, "once is enough");
    let owned = [applied_by("helm", 1, true), applied_by("argocd", 1, false)];
    assert_eq!(patch(&owned, &kind(), &both), None, "an apply decides for itself");
}

#[test]
fn an_entry_of_another_version_has_the_count_at_its_own_place() {
    let other_replicas = [("v1beta1".to_owned(), FieldPath::new(".spec.pool.size"))].into();
    let kind = TargetKind { other_replicas, ..kind() };
    let helm = |api_version: &str, spec: Value| -> ManagedFieldsEntry {
        let entry = json!({"manager": "helm", "operation": "Apply", "apiVersion": api_version,
                           "fieldsV1": {"f:spec": spec}});
        serde_json::from_value(entry).unwrap()
    };
    let at_replicas = json!({"f:paused": {}, "f:replicas": {}});
    let at_size = json!({"f:paused": {}, "f:pool": {"f:size": {}}});
    for (name, api_version, owned, elsewhere) in [
        ("the version of the watch", "apps/v1", &at_replicas, &at_size),
        ("another version", "apps/v1beta1", &at_size, &at_replicas),
        ("a version that is not known", "apps/v2", &at_replicas, &at_size),
    ] {
        let owner = |spec: &Value| {
            let owners = FieldOwners::of_target(&[helm(api_version, spec.clone())], &kind);
            owners.last().map(|last| last.manager.to_string())
        };
        assert_eq!((owner(owned).as_deref(), owner(elsewhere)), (Some("helm"), None), "{name}");
        let before = [scaled_by(FIELD_MANAGER), helm(api_version, json!({"f:paused": {}}))];
        let helm_alone = [recipient("helm", None)];
        let given = patch(&before, &kind, &helm_alone).unwrap();
        let paths: Vec<_> = given.0.iter().map(|one| one.path().to_string()).collect();
        let expected = if owned == &at_size { "f:pool" } else { "f:replicas" };
        assert!(paths.contains(&format!("/metadata/managedFields/1/fieldsV1/f:spec/{expected}")), "{name}: {paths:?}");
        let patched = apply(&before, given);
        assert_eq!(patched, [helm(api_version, owned.clone())], "{name}");
        assert_eq!(patch(&patched, &kind, &helm_alone), None, "{name}: once is enough");
    }
}
