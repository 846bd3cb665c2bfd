//! The requests of the signer to the API server. It changes requests by patches, so that what it does not read stays
//! as it is.

use anyhow::Result;
use contract::names::CLIENT_SIGNER;
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::request::{Request, RequestSpec};
use crate::{
    resources::{FIELD_MANAGER, Lenient, api_errors, is_allowed},
    runtime::client::post_params,
};

/// Asks whether the requester may `request` this signer. The right to create requests for other signers is not enough.
///
/// # Errors
///
/// When the API server does not answer, or one of its authorizers fails: a request that is refused then would fail for
/// good, although the next answer may be another one.
pub(super) async fn may_request(client: &Client, spec: &RequestSpec) -> Result<bool> {
    let attributes = ResourceAttributes {
        verb: Some("request".to_owned()),
        group: Some("certificates.k8s.io".to_owned()),
        resource: Some("signers".to_owned()),
        name: Some(CLIENT_SIGNER.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(spec.username.clone()),
        uid: spec.uid.clone(),
        groups: Some(spec.groups.clone()),
        extra: Some(spec.extra.clone()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&post_params(), &review).await?;
    Ok(is_allowed(answer.status)?)
}

/// The patch that adds a condition.
pub(super) fn condition(request: &Request, type_: &str, reason: &str, message: &str) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = json!({
        "type": type_, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    });
    if request.status.conditions.is_empty() {
        json!([test_version(request), {"op": "add", "path": "/status/conditions", "value": [condition]}])
    } else {
        json!([test_version(request), {"op": "add", "path": "/status/conditions/-", "value": condition}])
    }
}

/// The patch that adds the certificate.
pub(super) fn certificate(request: &Request, certificate: String) -> Value {
    let certificate = ByteString(certificate.into_bytes());
    json!([test_version(request), {"op": "add", "path": "/status/certificate", "value": certificate}])
}

/// What was decided is written only to the version that it was decided for.
fn test_version(request: &Request) -> Value {
    json!({"op": "test", "path": "/metadata/resourceVersion", "value": request.metadata.resource_version})
}

/// Patches `status` or `approval` of a request.
///
/// # Errors
///
/// When the API server refuses or cannot be reached. A lost race is none, because the request is looked at once more.
pub(super) async fn patch(
    requests: &Api<Lenient<Request>>,
    subresource: &str,
    name: &str,
    patch: Value,
) -> Result<(), kube::Error> {
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
    let params = PatchParams::apply(FIELD_MANAGER);
    match requests.patch_subresource(subresource, name, &params, &Patch::<()>::Json(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status))
            if status.is_conflict() || status.is_not_found() || api_errors::is_failed_test(&status) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_applies_to_the_version_that_it_was_decided_for() {
        for (conditions, version, expected) in
            [(json!(null), "7", Some(1)), (json!([{"type": "Approved"}]), "7", Some(2)), (json!([]), "8", None)]
        {
            let mut object = json!({
                "metadata": {"name": "r", "resourceVersion": "7"}, "spec": {}, "status": {"conditions": conditions},
            });
            if conditions.is_null() {
                object["status"] = json!({});
            }
            let request: Request = serde_json::from_value(object.clone()).unwrap();
            object["metadata"]["resourceVersion"] = json!(version);
            for (patch, path) in [
                (condition(&request, "Failed", "R", "m"), "/status/conditions"),
                (certificate(&request, "c".to_owned()), "/status/certificate"),
            ] {
                let mut patched = object.clone();
                let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
                assert_eq!(
                    json_patch::patch(&mut patched, &patch).is_ok(),
                    expected.is_some(),
                    "{conditions} {version}"
                );
                let Some(number) = expected else { continue };
                let value = patched.pointer(path).unwrap();
                assert!(value.as_array().is_none_or(|all| all.len() == number), "{patched}");
            }
        }
    }
}
