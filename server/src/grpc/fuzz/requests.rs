//! The validation of requests, alone.

use jiff::Timestamp;
use prost::Message;
use tonic::{Code, Status};

use super::super::{
    error::Error,
    page,
    validate::{self, RequestValidator, RequestedCount},
};
use contract::replicas::v1;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// The target of valid requests.
pub(super) fn target() -> Option<v1::Target> {
    let [namespace, group, kind, name] = ["shop", "apps", "Deployment", "web"].map(str::to_owned);
    Some(v1::Target { namespace, group, kind, name })
}

pub(super) fn sets() -> Vec<Vec<u8>> {
    let set = v1::SetReplicaCountRequest {
        target: target(),
        replicas: Some(3),
        expected_replicas: Some(3),
        force: true,
        reason: "load test".into(),
        expected_resource_version: Some("7".into()),
        original_replicas: Some(2),
        ..Default::default()
    };
    let until = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 999_999_999 });
    let current = v1::SetReplicaCountRequest { replicas: None, current: true, dry_run: true, ..set.clone() };
    let override_ = v1::SetReplicaCountRequest {
        until,
        then_unset: true,
        allow_missing: true,
        lasting_replicas: Some(2),
        lasting_reason: "usual".into(),
        replace_reason: true,
        ..set.clone()
    };
    [set, current, override_].map(|request| request.encode_to_vec()).into()
}

pub(super) fn lists() -> Vec<Vec<u8>> {
    let list = v1::ListReplicaCountsRequest {
        namespace: "shop".into(),
        label_selector: "app=web".into(),
        all_targets: true,
        page_size: 10,
        page_token: "shop/Deployment/apps/a".into(),
        min_resource_version: "7".into(),
    };
    [v1::ListReplicaCountsRequest { page_token: String::new(), ..list.clone() }, list]
        .map(|request| request.encode_to_vec())
        .into()
}

fn validator() -> RequestValidator {
    RequestValidator { namespace: Some("shop".into()), max_replicas: 100 }
}

/// Whether a request is valid. Every refusal here is the caller's fault, and names the field.
fn is_ok<T>(result: Result<T, Error>) -> bool {
    let Err(error) = result else { return true };
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let status = Status::from(error.for_deployments());
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!status.message().is_empty());
    false
}

#[test]
fn a_set_that_is_accepted_keeps_the_validator() {
    fuzz::target("validation of SetReplicaCount").seeds(sets()).bytes(|input| {
        let Ok(request) = v1::SetReplicaCountRequest::decode(input) else { return false };
        let until = request.until;
        let set = validator().set(request, NOW);
        if let Ok(set) = &set {
            assert_eq!(&*set.key.namespace, "shop");
            assert!(set.reason.len() <= 1024);
            assert!(set.expected.is_none_or(|count| (0..=100).contains(&count)));
            assert!(matches!(set.count, RequestedCount::Current | RequestedCount::Exactly(0..=100)));
            assert_eq!(set.until.is_some(), until.is_some());
            assert!(set.until.is_none_or(|until| until > NOW && until.subsec_nanosecond() == 0));
        }
        is_ok(set)
    });
}

#[test]
fn a_list_or_watch_that_is_accepted_is_of_the_namespace_that_is_served() {
    fuzz::target("validation of ListReplicaCounts and WatchReplicaCounts").seeds(lists()).bytes(|input| {
        let Ok(request) = v1::ListReplicaCountsRequest::decode(input) else { return false };
        let filter = validator().filter(request.namespace, &request.label_selector, request.all_targets);
        if let Ok(filter) = &filter {
            assert_eq!(filter.namespace(), "shop");
        }
        let size = page::size(request.page_size);
        assert!(size.as_ref().is_ok_and(|size| (1..=5000).contains(size)) || request.page_size < 0);
        [
            is_ok(filter),
            is_ok(size),
            is_ok(page::parse_token(&request.page_token)),
            is_ok(validate::min_resource_version(&request.min_resource_version)),
        ]
        .iter()
        .all(|is_ok| *is_ok)
    });
}
