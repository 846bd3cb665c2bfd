//! What the cluster says about the server's installation: the API, its pods, its Lease, and its fence.

use std::time::Duration;

use contract::names::GROUP;
use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    coordination::v1::Lease,
    core::v1::Pod,
};
use kube::{Api, ResourceExt, api::ListParams, core::Selector};

use super::{
    cluster::Cluster,
    error::Error,
    request::send,
    service::{Server, state},
};

/// The most pods or policies that are read. A cluster has a few of either.
const MAX_READ: u32 = 500;

/// The version of the API server: the text for people, such as `v1.37.2`, and the major and the minor version.
pub(crate) async fn api_version(cluster: &Cluster, limit: Duration) -> Result<(String, Option<(u32, u32)>), Error> {
    let client = cluster.client().await?;
    let info = send(limit, "get the version of the API server", client.apiserver_version()).await?;
    Ok((info.git_version, parse_version(&info.major, &info.minor)))
}

/// Reads a version. Some providers write `30+` for the minor one.
fn parse_version(major: &str, minor: &str) -> Option<(u32, u32)> {
    Some((major.parse().ok()?, minor.trim_end_matches('+').parse().ok()?))
}

/// Whether the API server serves the kind ReplicaCount.
pub(crate) async fn is_replica_count_served(cluster: &Cluster, limit: Duration) -> Result<bool, Error> {
    let client = cluster.client().await?;
    let version = format!("{GROUP}/v1");
    let action = format!("list the resources of {version}");
    match send(limit, action, client.list_api_group_resources(&version)).await {
        Ok(resources) => Ok(resources.resources.iter().any(|resource| resource.name == "replicacounts")),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A pod of the server.
#[derive(Debug, PartialEq)]
pub(crate) struct PodState {
    pub(crate) name: String,
    pub(crate) is_ready: bool,
    /// Its state in a word, such as `Running` or `CrashLoopBackOff`.
    pub(crate) state: String,
    /// How often its containers were restarted.
    pub(crate) restarts: i64,
    /// When a container ended last, if one was restarted.
    pub(crate) last_restart: Option<Timestamp>,
    /// Its service account.
    pub(crate) account: String,
    /// Its addresses, of IPv4 and IPv6.
    pub(crate) addresses: Vec<String>,
}

/// The server's pods, except for those that are being deleted.
pub(crate) async fn server_pods(server: &Server, limit: Duration) -> Result<Vec<PodState>, Error> {
    let action = format!("get the service {} in the namespace {}", server.name, server.namespace);
    let service = send(limit, action, server.services().get(&server.name)).await?;
    let selector = Selector::from_iter(service.spec.and_then(|spec| spec.selector).unwrap_or_default());
    if selector.selects_all() {
        return Ok(Vec::new());
    }
    let action = format!("list pods in the namespace {}", server.namespace);
    let params = ListParams::default().labels_from(&selector).limit(MAX_READ);
    let pods = send(limit, action, server.pods().list(&params)).await?;
    Ok(pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).map(describe).collect())
}

fn describe(pod: &Pod) -> PodState {
    let status = pod.status.clone().unwrap_or_default();
    let mut conditions = status.conditions.iter().flatten();
    let containers = || status.container_statuses.iter().flatten();
    let ends = containers()
        .filter_map(|container| Some(container.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
    PodState {
        name: pod.name_any(),
        is_ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        state: state(pod),
        restarts: containers().map(|container| i64::from(container.restart_count)).sum(),
        last_restart: ends.max(),
        account: pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default(),
        addresses: status.pod_ips.iter().flatten().map(|address| address.ip.clone()).collect(),
    }
}

/// The holder of the server's Lease.
#[derive(Debug, PartialEq)]
pub(crate) struct Holder {
    /// The name of its pod; empty if no pod leads.
    pub(crate) pod: String,
    pub(crate) renewed: Option<Timestamp>,
    /// How long the others wait for a renewal before one of them leads.
    pub(crate) duration: Duration,
}

/// Reads the Lease by which the server's pods elect their leader. In the chart it has the name of the Service. Returns
/// None if there is none.
pub(crate) async fn leader(server: &Server, limit: Duration) -> Result<Option<Holder>, Error> {
    let leases: Api<Lease> = Api::namespaced(server.client(), &server.namespace);
    let action = format!("get leases/{} in the namespace {}", server.name, server.namespace);
    let lease = send(limit, action, leases.get_opt(&server.name)).await?;
    Ok(lease.map(holder))
}

fn holder(lease: Lease) -> Holder {
    let spec = lease.spec.unwrap_or_default();
    let identity = spec.holder_identity.unwrap_or_default();
    // The identity is the name of the pod, an underscore and a random number.
    let pod = identity.rsplit_once('_').map_or(identity.as_str(), |(pod, _)| pod);
    let seconds = spec.lease_duration_seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or_default();
    Holder { pod: pod.to_owned(), renewed: spec.renew_time.map(|time| time.0), duration: Duration::from_secs(seconds) }
}

/// Finds the admission policy that limits a service account to the server's work, and is in force. Returns its name.
pub(crate) async fn fence(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    limit: Duration,
) -> Result<Option<String>, Error> {
    let client = cluster.client().await?;
    let params = ListParams::default().limit(MAX_READ);
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let policies = send(limit, "list validatingadmissionpolicies", policies.list(&params)).await?;
    let user = format!("'system:serviceaccount:{namespace}:{account}'");
    let names: Vec<_> = policies.iter().filter(|it| is_about(it, &user)).map(ResourceExt::name_any).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client);
    let bindings = send(limit, "list validatingadmissionpolicybindings", bindings.list(&params)).await?;
    Ok(enforced(names, &bindings.items))
}

/// The first policy that a binding enforces.
fn enforced(names: Vec<String>, bindings: &[ValidatingAdmissionPolicyBinding]) -> Option<String> {
    names.into_iter().find(|name| bindings.iter().any(|binding| enforces(binding, name)))
}

/// Whether a policy is only about the writes of a user.
fn is_about(policy: &ValidatingAdmissionPolicy, user: &str) -> bool {
    let conditions = policy.spec.as_ref().and_then(|spec| spec.match_conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.expression.contains(user))
}

fn enforces(binding: &ValidatingAdmissionPolicyBinding, policy: &str) -> bool {
    let Some(spec) = &binding.spec else { return false };
    let denies = spec.validation_actions.iter().flatten().any(|action| action == "Deny");
    denies && spec.policy_name.as_deref() == Some(policy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_may_end_with_a_plus() {
        for (minor, expected) in [("37", Some((1, 37))), ("30+", Some((1, 30))), ("", None), ("x", None)] {
            assert_eq!(parse_version("1", minor), expected, "{minor}");
        }
    }

    #[test]
    fn a_pod_has_its_readiness_and_its_restarts() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"serviceAccountName": "server", "containers": []},
        "status": {
            "phase": "Running", "podIPs": [{"ip": "10.0.0.7"}], "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 2,
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}}],
        }});
        let expected = PodState {
            name: "a".to_owned(),
            is_ready: true,
            state: "Running".to_owned(),
            restarts: 2,
            last_restart: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            account: "server".to_owned(),
            addresses: vec!["10.0.0.7".to_owned()],
        };
        assert_eq!(describe(&serde_json::from_value(pod).unwrap()), expected);
        let empty = describe(&Pod::default());
        assert!(!empty.is_ready && empty.state == "unknown" && empty.restarts == 0, "{empty:?}");
    }

    #[test]
    fn the_holder_of_a_lease_is_a_pod() {
        let lease = json!({"metadata": {}, "spec": {"holderIdentity": "server-1_00ff", "leaseDurationSeconds": 15,
                                                    "renewTime": "2026-01-01T00:00:00.000000Z"}});
        let held = holder(serde_json::from_value(lease).unwrap());
        assert_eq!((held.pod.as_str(), held.duration), ("server-1", Duration::from_secs(15)));
        assert_eq!(holder(Lease::default()).pod, "");
    }

    #[test]
    fn a_fence_is_a_policy_about_the_account_with_a_binding_that_denies() {
        let policy = json!({"metadata": {"name": "fence"}, "spec": {"matchConditions": [
            {"name": "x", "expression": "request.userInfo.username == 'system:serviceaccount:ns:server'"}]}});
        let policy = serde_json::from_value(policy).unwrap();
        assert!(is_about(&policy, "'system:serviceaccount:ns:server'"));
        assert!(!is_about(&policy, "'system:serviceaccount:ns:serv'"));
        for (name, actions, expected) in [("fence", ["Deny"], true), ("fence", ["Warn"], false), ("x", ["Deny"], false)]
        {
            let spec = json!({"metadata": {}, "spec": {"policyName": name, "validationActions": actions}});
            assert_eq!(enforces(&serde_json::from_value(spec).unwrap(), "fence"), expected, "{name} {actions:?}");
        }
        let deny = json!({"metadata": {}, "spec": {"policyName": "fence", "validationActions": ["Deny"]}});
        let bindings: [ValidatingAdmissionPolicyBinding; 1] = [serde_json::from_value(deny).unwrap()];
        for (name, policies, expected) in [
            ("none", vec![], None),
            ("the second", vec!["audit", "fence"], Some("fence")),
            ("not enforced", vec!["audit"], None),
        ] {
            let policies = policies.into_iter().map(str::to_owned).collect();
            assert_eq!(enforced(policies, &bindings).as_deref(), expected, "{name}");
        }
    }
}
