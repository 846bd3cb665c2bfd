//! The server in the cluster: its Service, and the ready pods behind it.

use std::{fmt, time::Duration};

use contract::names::{CA_CONFIG_MAP, SERVICE_SELECTOR};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ObjectList, Selector},
};

use super::request::{self, send};
use crate::config::ServiceRef;

/// The namespace that the chart's documentation installs the server in.
const NAMESPACE: &str = "replica-count-manager";

/// The name that the chart gives the Service of the release in that documentation.
const NAME: &str = NAMESPACE;

/// The name of the Service's gRPC port.
const PORT: &str = "grpc";

/// Why there is no server, or no ready pod of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Request(#[from] request::Error),
    #[error("there is no server in the namespace {NAMESPACE}, and you are not allowed to search the others")]
    NotHere(#[source] request::Error),
    #[error("the Service of the server is not configured, and you are not allowed to search for it")]
    NotAllowed(#[source] request::Error),
    #[error("there is no server: no Service {}has the label {SERVICE_SELECTOR}", within(namespace))]
    NoService { namespace: Option<String> },
    #[error("there is no Service {name} in the namespace {namespace}")]
    NoSuchService { namespace: String, name: String },
    #[error("there are several servers: {}", found.join(", "))]
    Several { found: Vec<String> },
    #[error("no pod of the Service {service} is ready: {pods}")]
    NoneReady { service: String, namespace: String, pods: String },
    #[error("no pod of the Service {service} is ready: it has no pods")]
    NoPods { service: String, namespace: String },
}

impl Error {
    /// Whether another try may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Request(error) => error.is_temporary(),
            Self::NoneReady { .. } | Self::NoPods { .. } => true,
            _ => false,
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        let name = "--service-namespace NAME --service-name NAME, or the service of the configuration file";
        match self {
            Self::Request(error) => error.hint(),
            Self::NotAllowed(error) => {
                error.hint().map(|grant| format!("{grant}; if the server is installed elsewhere, name it with {name}"))
            }
            Self::NotHere(_) => Some(format!("if it is installed elsewhere, name it with {name}")),
            Self::NoService { .. } => Some(format!("install it with its Helm chart, or name its Service with {name}")),
            Self::NoSuchService { .. } => Some(format!(
                "it may have been uninstalled, or have another name: `kubectl get services -A -l {SERVICE_SELECTOR}` \
                 shows where it is; if `kubectl replicas config view` has a wrong service.name, run: kubectl replicas \
                 config unset service.name; if an administrator confirms that it has moved since your login, run: \
                 kubectl replicas logout, then kubectl replicas login"
            )),
            Self::Several { .. } => Some(format!("choose one with {name}")),
            Self::NoneReady { namespace, .. } => Some(format!("to find out why: kubectl -n {namespace} describe pods")),
            Self::NoPods { namespace, .. } => Some(format!(
                "`kubectl -n {namespace} get deployments` shows whether the server's was scaled to 0; an administrator \
                 starts it with: kubectl -n {namespace} scale deployment NAME --replicas=2; `kubectl -n {namespace} \
                 describe deployments` shows other reasons"
            )),
        }
    }
}

fn within(namespace: &Option<String>) -> String {
    namespace.as_ref().map(|namespace| format!("in the namespace {namespace} ")).unwrap_or_default()
}

/// The Service of the server.
#[derive(Clone)]
pub(crate) struct Server {
    client: Client,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A pod of the server, and its gRPC port.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodPort {
    pub(crate) pod: String,
    pub(crate) port: u16,
}

/// The CA that a server manages and publishes, in PEM.
pub(crate) struct ManagedCa {
    /// The certificates to trust: its own, and its predecessor's for a while.
    pub(crate) certificates: String,
    /// Its certificate as its predecessor has signed it. Empty if there is none.
    pub(crate) cross: String,
}

impl Server {
    /// Finds the Service. Its name or namespace may be known.
    pub(super) async fn find(client: Client, known: &ServiceRef, limit: Duration) -> Result<Self, Error> {
        let (namespace, name) = match (known.namespace.as_deref(), known.name.as_deref()) {
            (namespace, Some(name)) => (namespace.unwrap_or(NAMESPACE).to_owned(), name.to_owned()),
            (namespace @ Some(_), None) => only(list(&client, namespace, limit).await?, namespace)?,
            (None, None) => search(&client, limit).await?,
        };
        Ok(Self { client, namespace, name })
    }

    /// The client that has found it.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The pods of the Service's namespace.
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Sends a request that the role for connecting allows.
    pub(crate) async fn send<T>(
        &self,
        limit: Duration,
        action: impl fmt::Display,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, request::Error> {
        let sent = send(limit, action, request).await;
        sent.map_err(|error| error.of_connecting(&self.namespace, &self.name))
    }

    /// Checks that the Service exists. A name that is known need not be right.
    pub(crate) async fn check(&self, limit: Duration) -> Result<(), Error> {
        self.read(limit).await.map(drop)
    }

    async fn read(&self, limit: Duration) -> Result<Service, Error> {
        let action = format!("get the service {} in the namespace {}", self.name, self.namespace);
        match self.send(limit, action, self.services().get(&self.name)).await {
            Err(error) if error.is_not_found() => {
                Err(Error::NoSuchService { namespace: self.namespace.clone(), name: self.name.clone() })
            }
            found => Ok(found?),
        }
    }

    /// Reads the CA that the server manages, if it manages one. The Service names its ConfigMap.
    pub(crate) async fn managed_ca(&self, limit: Duration) -> Result<Option<ManagedCa>, Error> {
        let service = self.read(limit).await?;
        let Some(name) = service.annotations().get(CA_CONFIG_MAP) else { return Ok(None) };
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let action = format!("get the configmap {name} in the namespace {}", self.namespace);
        let map = self.send(limit, action, maps.get(name)).await?;
        let mut data = map.data.unwrap_or_default();
        let certificates = data.remove("ca.crt");
        Ok(certificates
            .map(|certificates| ManagedCa { certificates, cross: data.remove("cross.crt").unwrap_or_default() }))
    }

    /// The Services of the Service's namespace.
    pub(super) fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The ready pods, in random order to spread the users over them.
    pub(crate) async fn ready_pods(&self, limit: Duration) -> Result<Vec<PodPort>, Error> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.name));
        let action = format!("list endpointslices in the namespace {}", self.namespace);
        let slices = self.send(limit, action, slices.list(&params)).await?;
        let mut ready = ready_pods(&slices.items);
        if ready.is_empty() {
            return Err(self.explain_none_ready(limit).await);
        }
        fastrand::shuffle(&mut ready);
        Ok(ready)
    }

    /// Finds out why no pod is ready, as far as the user's rights allow.
    async fn explain_none_ready(&self, limit: Duration) -> Error {
        let (namespace, service) = (self.namespace.clone(), self.name.clone());
        match self.describe_pods(limit).await {
            Err(error @ Error::NoSuchService { .. }) => error,
            Err(_) => Error::NoneReady { service, namespace, pods: "its pods cannot be listed".to_owned() },
            Ok(None) => Error::NoPods { service, namespace },
            Ok(Some(pods)) => Error::NoneReady { service, namespace, pods },
        }
    }

    /// Lists the pods with the state of each, if there are any.
    async fn describe_pods(&self, limit: Duration) -> Result<Option<String>, Error> {
        let service = self.read(limit).await?;
        let selector = Selector::from_iter(service.spec.and_then(|spec| spec.selector).unwrap_or_default());
        if selector.selects_all() {
            return Ok(Some("it selects no pods".to_owned()));
        }
        let params = ListParams::default().labels_from(&selector);
        let pods = self.send(limit, "list its pods", self.pods().list(&params)).await?;
        Ok((!pods.items.is_empty()).then(|| describe_pods(&pods)))
    }
}

/// Searches the default namespace, then all namespaces.
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

async fn list(
    client: &Client,
    namespace: Option<&str>,
    limit: Duration,
) -> Result<Vec<(String, String)>, request::Error> {
    let (services, place): (Api<Service>, String) = match namespace {
        Some(namespace) => (Api::namespaced(client.clone(), namespace), format!("the namespace {namespace}")),
        None => (Api::all(client.clone()), "all namespaces".to_owned()),
    };
    let params = ListParams::default().labels(SERVICE_SELECTOR);
    let found = send(limit, format!("list services in {place}"), services.list_metadata(&params)).await;
    let found = found.map_err(|error| error.of_connecting(namespace.unwrap_or(NAMESPACE), NAME))?;
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

/// The ready pods of the gRPC port. A pod with an IPv4 and an IPv6 address is in two slices, but counts once.
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

fn describe_pods(pods: &ObjectList<Pod>) -> String {
    pods.iter().map(|pod| format!("{} is {}", pod.name_any(), state(pod))).collect::<Vec<_>>().join(", ")
}

/// The state of a pod in a word: that it ends, or what a container waits for, or else the pod's reason or its phase.
pub(super) fn state(pod: &Pod) -> String {
    // Until its containers have ended, its phase is the one before.
    if pod.metadata.deletion_timestamp.is_some() {
        return "terminating".to_owned();
    }
    let status = pod.status.clone().unwrap_or_default();
    let waiting = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    waiting.or(status.reason).or(status.phase).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
