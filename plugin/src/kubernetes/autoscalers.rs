//! The HorizontalPodAutoscalers that scale a target.

use std::time::Duration;

use contract::{names::CORE_GROUP, replicas::v1::Target};
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use kube::{Api, ResourceExt, api::ListParams};

use super::{cluster::Cluster, error::Error, request::send};

/// The most autoscalers of a namespace that are read: a target has one.
const MAX_READ: u32 = 5_000;

/// The names of the autoscalers that scale a target.
pub(crate) async fn autoscalers(cluster: &Cluster, target: &Target, limit: Duration) -> Result<Vec<String>, Error> {
    let all: Api<HorizontalPodAutoscaler> = Api::namespaced(cluster.client().await?, &target.namespace);
    let action = format!("list horizontalpodautoscalers in the namespace {}", target.namespace);
    let all = send(limit, action, all.list(&ListParams::default().limit(MAX_READ))).await?;
    let scaling = all.iter().filter(|it| it.spec.as_ref().is_some_and(|spec| scales(&spec.scale_target_ref, target)));
    Ok(scaling.map(ResourceExt::name_any).collect())
}

/// Whether a reference means a target. As for the controller of autoscalers, the kind may be in small letters, and the
/// version does not matter.
fn scales(reference: &CrossVersionObjectReference, target: &Target) -> bool {
    let version = reference.api_version.as_deref().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let wanted = match target.group.as_str() {
        CORE_GROUP => "",
        group => group,
    };
    let is_kind = reference.kind == target.kind || reference.kind == target.kind.to_lowercase();
    is_kind && reference.name == target.name && group == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_names_its_target() {
        let target = |group: &str, kind: &str| {
            let [group, kind, name] = [group, kind, "web"].map(str::to_owned);
            Target { group, kind, name, ..Target::default() }
        };
        let (deployment, controller) = (target("apps", "Deployment"), target("core", "ReplicationController"));
        for (name, target, version, kind, object, expected) in [
            ("the target", &deployment, Some("apps/v1"), "Deployment", "web", true),
            ("an old version", &deployment, Some("apps/v1beta1"), "Deployment", "web", true),
            ("small letters", &deployment, Some("apps/v1"), "deployment", "web", true),
            ("capital letters", &deployment, Some("apps/v1"), "DEPLOYMENT", "web", false),
            ("another object", &deployment, Some("apps/v1"), "Deployment", "db", false),
            ("another group", &deployment, Some("x/v1"), "Deployment", "web", false),
            ("no group", &deployment, None, "Deployment", "web", false),
            ("the core group", &controller, Some("v1"), "ReplicationController", "web", true),
        ] {
            let reference = CrossVersionObjectReference {
                api_version: version.map(str::to_owned),
                kind: kind.to_owned(),
                name: object.to_owned(),
            };
            assert_eq!(scales(&reference, target), expected, "{name}");
        }
    }
}
