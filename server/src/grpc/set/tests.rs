use super::*;
use crate::{
    grpc::validate::ExpectedVersion,
    resources::{RestoreRequest, fixtures::ReplicaCountBuilder},
};

fn request(count: RequestedCount, until: Option<Timestamp>) -> SetRequest {
    SetRequest {
        key: TargetKey::new("shop", "", "", "web").unwrap(),
        count,
        expected: None,
        version: ExpectedVersion::Any,
        original: None,
        allow_missing: false,
        force: false,
        dry_run: false,
        until,
        then_unset: false,
        reason: "new".into(),
        replace_reason: false,
        lasting: None,
    }
}

fn counts(spec: &ReplicaCountSpec) -> (i32, Option<i32>, &str, Option<i32>) {
    (spec.replicas, spec.original_replicas, &spec.reason, spec.override_.as_ref().map(|over| over.replicas))
}

#[test]
fn a_set_leads_to_its_spec() {
    let (until, kind) = (Some(Timestamp::MAX), TargetKind::apps()[0].clone());
    let held =
        |spec: &ReplicaCountSpec| ReplicaCountState { spec: spec.clone(), ..ReplicaCountBuilder::new("web").state() };
    let after = |before: Option<&ReplicaCountSpec>, count, until, observed| {
        spec_after(before.map(held).as_ref(), &kind, &request(count, until), observed)
    };
    let first = after(None, RequestedCount::Exactly(5), None, Some(2)).unwrap();
    assert_eq!(counts(&first), (5, Some(2), "new", None));
    let again = after(Some(&first), RequestedCount::Exactly(7), None, Some(5)).unwrap();
    assert_eq!(counts(&again), (7, Some(2), "new", None));
    let odd = after(None, RequestedCount::Exactly(5), None, Some(-1)).unwrap();
    assert_eq!(counts(&odd), (5, None, "new", None), "a negative count is not one to put back");
    let over = after(Some(&again), RequestedCount::Exactly(9), until, Some(7)).unwrap();
    assert_eq!(counts(&over), (7, Some(2), "new", Some(9)));
    let cleared = after(Some(&over), RequestedCount::Current, None, Some(9)).unwrap();
    assert_eq!(counts(&cleared), (9, Some(2), "new", None));
    let unmanaged = after(None, RequestedCount::Exactly(9), until, Some(4)).unwrap();
    assert_eq!(counts(&unmanaged), (4, Some(4), "", Some(9)));
    assert!(after(None, RequestedCount::Current, None, None).is_err());
    let silent = |before, count, until| {
        let request = SetRequest { reason: String::new(), ..request(RequestedCount::Exactly(count), until) };
        spec_after(Some(&held(before)), &kind, &request, Some(7)).unwrap()
    };
    assert_eq!(silent(&again, 7, None).reason, "new", "the same count keeps its reason");
    assert_eq!(silent(&again, 8, None).reason, "", "another count has another reason, or none");
    assert_eq!(silent(&over, 9, until).override_.unwrap().reason, "new", "so does an override");
    let emptied =
        SetRequest { reason: String::new(), replace_reason: true, ..request(RequestedCount::Exactly(7), None) };
    let emptied = spec_after(Some(&held(&again)), &kind, &emptied, Some(7)).unwrap();
    assert_eq!(emptied.reason, "", "if the request says so");
    let both = SetRequest { lasting: Some((3, "sale".into())), ..request(RequestedCount::Exactly(9), until) };
    for before in [None, Some(&again)] {
        let both = spec_after(before.map(held).as_ref(), &kind, &both, Some(2)).unwrap();
        assert_eq!(counts(&both), (3, Some(2), "sale", Some(9)), "in one write");
    }
    let restored = SetRequest { original: Some(1), ..request(RequestedCount::Exactly(8), None) };
    let restored = spec_after(Some(&held(&first)), &kind, &restored, Some(5)).unwrap();
    assert_eq!(counts(&restored), (8, Some(1), "new", None));
}

#[test]
fn a_set_that_changes_nothing_is_known() {
    let state = |by: &str| ReplicaCountBuilder::new("web").set_by(by).state();
    let changed = |change: fn(&mut ReplicaCountSpec)| {
        let mut state = state("alice");
        change(&mut state.spec);
        state
    };
    for (name, after, expected) in [
        ("nothing", state("alice"), true),
        ("the user", state("bob"), false),
        ("the count", changed(|spec| spec.replicas += 1), false),
        ("the reason", changed(|spec| spec.reason = "sale".into()), false),
    ] {
        assert_eq!(is_same(&state("alice"), &after), expected, "{name}");
    }
    let restored = ReplicaCountState { restore: Some(RestoreRequest::default()), ..state("alice") };
    assert!(!is_same(&restored, &state("alice")), "the Set has cancelled a restore");
    let overridden_by = |user: &str| {
        let mut state = state("alice");
        state.writers.override_.replicas = user.into();
        state
    };
    assert!(is_same(&overridden_by("bob"), &overridden_by("bob")), "the same override again");
    assert!(!is_same(&overridden_by("bob"), &overridden_by("carol")), "by another user");
}

#[test]
fn only_the_expected_version_is_admitted() {
    let mut state = ReplicaCountBuilder::new("web").state();
    state.resource_version = 7;
    for (name, version, existing, expected) in [
        ("any", ExpectedVersion::Any, None, true),
        ("unmanaged", ExpectedVersion::Unmanaged, None, true),
        ("managed", ExpectedVersion::Unmanaged, Some(&state), false),
        ("the same", ExpectedVersion::Exactly(7), Some(&state), true),
        ("another", ExpectedVersion::Exactly(6), Some(&state), false),
        ("gone", ExpectedVersion::Exactly(7), None, false),
    ] {
        assert_eq!(version.admits(existing), expected, "{name}");
    }
}

#[test]
fn what_admission_changes_is_said() {
    let now = Timestamp::UNIX_EPOCH;
    let spec = |count, until| {
        let kind = TargetKind::apps()[0].clone();
        spec_after(None, &kind, &request(RequestedCount::Exactly(count), until), Some(1)).unwrap()
    };
    let until = Some(Timestamp::from_second(60).unwrap());
    for (name, sent, stored, expected) in [
        ("nothing", spec(3, None), spec(3, None), None),
        ("the count", spec(3, None), spec(5, None), Some("admission stored 5 replicas instead of 3")),
        ("the override", spec(3, until), spec(3, None), Some("an admission policy or a webhook changed")),
        ("its count", spec(3, until), spec(4, until), Some("admission stored 4 replicas instead of 3")),
        (
            "the reason",
            spec(3, None),
            ReplicaCountSpec { reason: "other".into(), ..spec(3, None) },
            Some("an admission policy or a webhook changed"),
        ),
    ] {
        let said = changed(&sent, &stored, now);
        assert_eq!(said.is_some(), expected.is_some(), "{name}: {said:?}");
        assert!(said.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{name}");
    }
}

#[test]
fn an_expected_count_must_be_there() {
    let request = SetRequest { expected: Some(3), ..request(RequestedCount::Current, None) };
    assert!(check_expected(&request, Some(3)).is_ok());
    assert!(check_expected(&request, Some(4)).is_err());
    assert!(check_expected(&request, None).is_err());
}
