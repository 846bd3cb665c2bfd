//! Why the pods of a target are not ready, as far as the caller may read them.

use std::{collections::BTreeMap, time::Duration};

use contract::{names::CORE_GROUP, replicas::v1::Target};
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api,
    api::ListParams,
    core::{ApiResource, DynamicObject, GroupVersionKind, Selector},
};
use serde_json::Value;

use super::{cluster::Cluster, discovery, error::Error, request::send};

/// The most pods that are read of a target: the first ones show why.
const MAX_PODS: u32 = 500;

/// What containers that are only starting wait for.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Finds out why pods of a target are not ready, or are not created. Each reason has the number of its pods.
pub(crate) async fn why_unready(cluster: &Cluster, target: &Target, limit: Duration) -> Result<Vec<String>, Error> {
    let client = cluster.client().await?;
    let resource = resource(cluster, target, limit).await?;
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), &target.namespace, &resource);
    let action = format!("get {}/{} in the namespace {}", resource.plural, target.name, target.namespace);
    let object = send(limit, action, objects.get(&target.name)).await?;
    let mut reasons: Vec<_> = creation_failure(&object.data).into_iter().collect();
    if let Some(selector) = selector(&object.data["spec"]["selector"]) {
        let pods: Api<Pod> = Api::namespaced(client, &target.namespace);
        let params = ListParams::default().labels_from(&selector).limit(MAX_PODS);
        let action = format!("list pods in the namespace {}", target.namespace);
        reasons.extend(count(&send(limit, action, pods.list(&params)).await?.items));
    }
    Ok(reasons)
}

/// The resource of a target in the API.
pub(super) async fn resource(cluster: &Cluster, target: &Target, limit: Duration) -> Result<ApiResource, Error> {
    let group = match target.group.as_str() {
        "" => "apps",
        CORE_GROUP => "",
        group => group,
    };
    let kind = if target.kind.is_empty() { "Deployment" } else { &target.kind };
    let version = match group {
        "" | "apps" => "v1".to_owned(),
        group => discovery::version(cluster, group, kind, limit).await?,
    };
    let known = GroupVersionKind::gvk(group, &version, kind);
    Ok(match group {
        "" | "apps" => ApiResource::from_gvk(&known),
        group => {
            let plural = discovery::plural(cluster, group, kind, limit).await?;
            ApiResource::from_gvk_with_plural(&known, &plural)
        }
    })
}

/// The selector of pods: a LabelSelector, or a plain map as of ReplicationControllers.
fn selector(value: &Value) -> Option<Selector> {
    let is_plain = value.as_object()?.values().all(Value::is_string);
    let selector = match is_plain {
        true => LabelSelector { match_labels: serde_json::from_value(value.clone()).ok(), ..LabelSelector::default() },
        false => serde_json::from_value(value.clone()).ok()?,
    };
    Selector::try_from(selector).ok().filter(|selector| !selector.selects_all())
}

/// Why a Deployment or a ReplicaSet cannot create pods, such as an exceeded quota.
fn creation_failure(object: &Value) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let failure = conditions.iter().find(|it| it["type"] == "ReplicaFailure" && it["status"] == "True")?;
    Some(format!("{}: {}", failure["reason"].as_str()?, failure["message"].as_str()?))
}

/// The reasons of the pods that are not ready, the most frequent first.
fn count(pods: &[Pod]) -> Vec<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    pods.iter().filter_map(why).for_each(|why| *counts.entry(why).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
        .into_iter()
        .map(|(why, count)| format!("{count} {}: {why}", if count == 1 { "pod" } else { "pods" }))
        .collect()
}

/// Why a pod is not ready. A pod that is being deleted does not count.
fn why(pod: &Pod) -> Option<String> {
    let status = pod.status.clone().unwrap_or_default();
    let condition = |name: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == name);
    if pod.metadata.deletion_timestamp.is_some() || condition("Ready").is_some_and(|ready| ready.status == "True") {
        return None;
    }
    let false_condition = |name| {
        let condition = condition(name).filter(|condition| condition.status == "False")?;
        Some(words(condition.reason.as_deref(), condition.message.as_deref()))
    };
    let of_containers = || {
        let containers = [&status.init_container_statuses, &status.container_statuses];
        containers.into_iter().flatten().flatten().find_map(of_container)
    };
    let why = false_condition("PodScheduled").or_else(of_containers).or_else(|| of_phase(&status));
    Some(
        why.or_else(|| false_condition("Ready"))
            .filter(|why| !why.is_empty())
            .unwrap_or_else(|| "not ready".to_owned()),
    )
}

fn of_container(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
        let reason = ended.reason.as_deref().unwrap_or("Error");
        return Some(format!("{reason} of the container {}, exit code {}", container.name, ended.exit_code));
    }
    let waiting = state.waiting.as_ref()?;
    let is_starting = waiting.reason.as_deref().is_none_or(|reason| STARTING.contains(&reason));
    (!is_starting).then(|| words(waiting.reason.as_deref(), waiting.message.as_deref()))
}

/// The reason of a phase that shows it: Failed, or Pending without any news of the containers.
fn of_phase(status: &PodStatus) -> Option<String> {
    match status.phase.as_deref() {
        Some("Failed") => Some(words(status.reason.as_deref().or(Some("Failed")), status.message.as_deref())),
        Some("Pending") => Some("Pending".to_owned()),
        _ => None,
    }
}

fn words(reason: Option<&str>, message: Option<&str>) -> String {
    [reason, message].into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-1"}, "status": status})).unwrap()
    }

    #[test]
    fn a_pod_that_is_not_ready_says_why() {
        let waiting = |reason: &str| {
            json!({"phase": "Pending", "containerStatuses": [{"name": "web", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": reason, "message": "back-off"}}}]})
        };
        let ended = json!({"phase": "Running", "initContainerStatuses": [{"name": "init", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"terminated": {"reason": "Error", "exitCode": 3}}}]});
        let condition = |name: &str, status: &str| {
            json!({"phase": "Pending", "conditions": [{"type": name, "status": status, "reason": "Unschedulable",
                "message": "0/2 nodes match"}]})
        };
        for (name, status, expected) in [
            ("ready", condition("Ready", "True"), None),
            ("unschedulable", condition("PodScheduled", "False"), Some("Unschedulable: 0/2 nodes match")),
            ("image", waiting("ImagePullBackOff"), Some("ImagePullBackOff: back-off")),
            ("starting", waiting("ContainerCreating"), Some("Pending")),
            ("ended", ended, Some("Error of the container init, exit code 3")),
            ("evicted", json!({"phase": "Failed", "reason": "Evicted", "message": "disk"}), Some("Evicted: disk")),
            ("running", json!({"phase": "Running"}), Some("not ready")),
        ] {
            assert_eq!(why(&pod(status)).as_deref(), expected, "{name}");
        }
        let mut gone = pod(waiting("ImagePullBackOff"));
        gone.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(why(&gone), None);
        let pods = [pod(json!({"phase": "Running"})), pod(waiting("A")), pod(waiting("A")), gone];
        assert_eq!(count(&pods), ["2 pods: A: back-off", "1 pod: not ready"]);
    }

    #[test]
    fn a_target_names_its_pods_and_why_it_cannot_create_them() {
        let shown = |value: Value| selector(&value).map(|selector| selector.to_string());
        assert_eq!(shown(json!({"app": "web"})).as_deref(), Some("app=web"));
        assert_eq!(shown(json!({"matchLabels": {"app": "web"}})).as_deref(), Some("app=web"));
        assert_eq!((shown(json!({})), shown(Value::Null)), (None, None));
        let failure = json!({"status": {"conditions": [
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"},
        ]}});
        assert_eq!(creation_failure(&failure).as_deref(), Some("FailedCreate: exceeded quota"));
        assert_eq!(creation_failure(&json!({})), None);
    }
}
