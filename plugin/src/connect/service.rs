//! Finding the server in the cluster: its Service, and the ready pods behind it.

use std::time::Duration;

use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ObjectList, Selector},
};

use super::api::{self, ask};
use crate::config::ServiceRef;

/// What the chart labels the Service of the gRPC port with.
const LABEL: &str = "replica-count-manager.io/service=grpc";

/// Where the chart is installed unless told otherwise.
const NAMESPACE: &str = "replica-count-manager";

/// The name of the port.
const PORT: &str = "grpc";

/// Why no server was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error("there is no server in the namespace {NAMESPACE}, and the other namespaces cannot be searched")]
    NotHere(#[source] api::Error),
    #[error("the Service of the server is not configured, and cannot be searched for")]
    NotAllowed(#[source] api::Error),
    #[error("there is no server: no Service {}has the label {LABEL}", within(namespace))]
    NoService { namespace: Option<String> },
    #[error("there is no Service {name} in the namespace {namespace}")]
    NoSuchService { namespace: String, name: String },
    #[error("there are several servers: {}", found.join(", "))]
    Several { found: Vec<String> },
    #[error("no pod of the Service {service} is ready: {pods}")]
    NoneReady { service: String, namespace: String, pods: String },
}

impl Error {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let name = "--service-namespace NAME --service-name NAME, or the service of the configuration file";
        match self {
            Self::Api(error) => error.hint(),
            Self::NotAllowed(_) => Some(format!("name it: {name}")),
            Self::NotHere(_) => Some(format!("if it is installed elsewhere, name it: {name}")),
            Self::NoService { .. } => Some(format!("install it with its Helm chart, or name its Service: {name}")),
            Self::NoSuchService { .. } => Some(format!("`kubectl get services -A -l {LABEL}` shows where it is")),
            Self::Several { .. } => Some(format!("choose one: {name}")),
            Self::NoneReady { namespace, .. } => Some(format!("look into it: kubectl -n {namespace} describe pods")),
        }
    }
}

fn within(namespace: &Option<String>) -> String {
    namespace.as_ref().map(|namespace| format!("in the namespace {namespace} ")).unwrap_or_default()
}

/// The Service of the server.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    limit: Duration,
    /// The namespace of the Service.
    pub(super) namespace: String,
    /// The name of the Service.
    pub(super) name: String,
}

/// A pod and the port in it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodPort {
    /// The name of the pod.
    pub(super) pod: String,
    /// The port's number in the pod.
    pub(super) port: u16,
}

impl Server {
    /// Finds the Service as far as it was not told.
    pub(super) async fn find(client: Client, told: &ServiceRef, limit: Duration) -> Result<Self, Error> {
        let (namespace, name) = match (told.namespace.as_deref(), told.name.as_deref()) {
            (namespace, Some(name)) => (namespace.unwrap_or(NAMESPACE).to_owned(), name.to_owned()),
            (namespace @ Some(_), None) => only(list(&client, namespace, limit).await?, namespace)?,
            (None, None) => search(&client, limit).await?,
        };
        Ok(Self { client, limit, namespace, name })
    }

    /// The pods, to forward a port of one.
    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The name of the ConfigMap with the CA of the server, if the server manages one.
    pub(super) async fn ca_config_map(&self) -> Result<Option<String>, api::Error> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let action = format!("get the service {} in the namespace {}", self.name, self.namespace);
        let service = ask(self.limit, action, services.get(&self.name)).await?;
        Ok(service.annotations().get("replica-count-manager.io/ca-configmap").cloned())
    }

    /// The ready pods, in random order so that users spread over them.
    pub(super) async fn ready(&self) -> Result<Vec<PodPort>, Error> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.name));
        let action = format!("list endpointslices in the namespace {}", self.namespace);
        let slices = ask(self.limit, action, slices.list(&params)).await?;
        let mut ready = ready_pods(&slices.items);
        if ready.is_empty() {
            return Err(self.none_ready().await);
        }
        fastrand::shuffle(&mut ready);
        Ok(ready)
    }

    /// Finds out why no pod is ready, as far as the user may.
    async fn none_ready(&self) -> Error {
        let (namespace, service) = (self.namespace.clone(), self.name.clone());
        match self.describe_pods().await {
            Err(error) if error.is_not_found() => Error::NoSuchService { namespace, name: service },
            Err(_) => Error::NoneReady { service, namespace, pods: "its pods cannot be listed".to_owned() },
            Ok(pods) => Error::NoneReady { service, namespace, pods },
        }
    }

    async fn describe_pods(&self) -> Result<String, api::Error> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let service = ask(self.limit, "get the Service", services.get(&self.name)).await?;
        let selector = Selector::from_iter(service.spec.and_then(|spec| spec.selector).unwrap_or_default());
        if selector.selects_all() {
            return Ok("it selects no pods".to_owned());
        }
        let params = ListParams::default().labels_from(&selector);
        Ok(states(&ask(self.limit, "list its pods", self.pods().list(&params)).await?))
    }
}

/// Looks where the chart is installed by default, then everywhere.
async fn search(client: &Client, limit: Duration) -> Result<(String, String), Error> {
    let here = list(client, Some(NAMESPACE), limit).await;
    match &here {
        Ok(found) if found.is_empty() => {}
        Err(error) if error.is_forbidden() => {}
        _ => return only(here?, Some(NAMESPACE)),
    }
    match (list(client, None, limit).await, here) {
        (Err(error), Ok(_)) if error.is_forbidden() => Err(Error::NotHere(error)),
        (Err(error), Err(_)) if error.is_forbidden() => Err(Error::NotAllowed(error)),
        (found, _) => only(found?, None),
    }
}

async fn list(client: &Client, namespace: Option<&str>, limit: Duration) -> Result<Vec<(String, String)>, api::Error> {
    let (services, place): (Api<Service>, String) = match namespace {
        Some(namespace) => (Api::namespaced(client.clone(), namespace), format!("the namespace {namespace}")),
        None => (Api::all(client.clone()), "all namespaces".to_owned()),
    };
    let params = ListParams::default().labels(LABEL);
    let found = ask(limit, format!("list services in {place}"), services.list_metadata(&params)).await?;
    Ok(found.iter().map(|service| (service.namespace().unwrap_or_default(), service.name_any())).collect())
}

fn only(found: Vec<(String, String)>, namespace: Option<&str>) -> Result<(String, String), Error> {
    match <[_; 1]>::try_from(found) {
        Ok([only]) => Ok(only),
        Err(none) if none.is_empty() => Err(Error::NoService { namespace: namespace.map(str::to_owned) }),
        Err(several) => Err(Error::Several {
            found: several.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect(),
        }),
    }
}

/// The ready pods of the port; a pod with an IPv4 and an IPv6 address is in two slices, and counts once.
fn ready_pods(slices: &[EndpointSlice]) -> Vec<PodPort> {
    let mut ready = Vec::new();
    for slice in slices {
        let port = slice.ports.iter().flatten().find(|port| port.name.as_deref() == Some(PORT));
        let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        for endpoint in &slice.endpoints {
            let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            if let (true, Some(pod)) = (is_ready, pod.and_then(|pod| pod.name.clone())) {
                ready.push(PodPort { pod, port });
            }
        }
    }
    ready.sort();
    ready.dedup();
    ready
}

/// The pods and why each does not run, as far as they tell.
fn states(pods: &ObjectList<Pod>) -> String {
    let state = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let waiting = status
            .container_statuses
            .iter()
            .flatten()
            .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
        let state = waiting.or(status.reason).or(status.phase).unwrap_or_else(|| "unknown".to_owned());
        format!("{} is {state}", pod.name_any())
    };
    match pods.items.is_empty() {
        true => "it has no pods".to_owned(),
        false => pods.iter().map(state).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
