//! What the API server allows the caller to do.

use std::time::Duration;

use contract::{
    names::{CORE_GROUP, GROUP, replica_count_name},
    replicas::v1::Target,
};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::{Api, api::PostParams, core::Status};

use super::{cluster::Cluster, error::Error, request::send, unready};

/// Whether the caller may do something with the target's ReplicaCount.
pub(crate) async fn may_with_replica_count(
    cluster: &Cluster,
    verb: &str,
    target: &Target,
    limit: Duration,
) -> Result<bool, Error> {
    // RBAC cannot restrict create by name.
    let name = (verb != "create").then(|| replica_count_name(&target.kind, &target.group, &target.name));
    let attributes = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some("replicacounts".to_owned()),
        name,
        ..of_target(verb, target)
    };
    ask(cluster, attributes, limit).await
}

/// Whether the caller may scale the target itself, as `kubectl scale` does.
pub(crate) async fn may_scale(cluster: &Cluster, target: &Target, limit: Duration) -> Result<bool, Error> {
    let resource = unready::resource(cluster, target, limit).await?;
    let group = match target.group.as_str() {
        CORE_GROUP => "",
        group => group,
    };
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.plural),
        subresource: Some("scale".to_owned()),
        name: Some(target.name.clone()),
        ..of_target("patch", target)
    };
    ask(cluster, attributes, limit).await
}

fn of_target(verb: &str, target: &Target) -> ResourceAttributes {
    ResourceAttributes {
        verb: Some(verb.to_owned()),
        namespace: Some(target.namespace.clone()),
        ..ResourceAttributes::default()
    }
}

async fn ask(cluster: &Cluster, attributes: ResourceAttributes, limit: Duration) -> Result<bool, Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client().await?);
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..SelfSubjectAccessReview::default()
    };
    let params = PostParams::default();
    let answer = async { is_allowed(reviews.create(&params, &review).await?.status) };
    Ok(send(limit, "ask the API server for your rights", answer).await?)
}

/// Whether a review found that the user is allowed. If no authorizer allows or denies and one of them fails, nothing is
/// decided: that is an error, as the API server's own 500 for a request then.
fn is_allowed(status: Option<SubjectAccessReviewStatus>) -> Result<bool, kube::Error> {
    let status = status.unwrap_or_default();
    let is_decided = status.allowed || status.denied == Some(true);
    match status.evaluation_error.filter(|error| !is_decided && !error.is_empty()) {
        Some(error) => Err(kube::Error::Api(Status::failure(&error, "InternalError").with_code(500).boxed())),
        None => Ok(status.allowed),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_decision_says_that_a_right_is_missing() {
        for (name, status, expected) in [
            ("allowed", json!({"allowed": true, "evaluationError": "down"}), Some(true)),
            ("not allowed", json!({"allowed": false}), Some(false)),
            ("denied", json!({"allowed": false, "denied": true, "evaluationError": "down"}), Some(false)),
            ("an authorizer fails", json!({"allowed": false, "evaluationError": "down"}), None),
        ] {
            let status = serde_json::from_value(status).unwrap();
            assert_eq!(is_allowed(status).ok(), expected, "{name}");
        }
    }
}
