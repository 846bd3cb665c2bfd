//! The EndpointSlice of the webhooks' Service, which holds the address of the leader.
//!
//! The Service has no selector, so Kubernetes itself writes no slice for it. The Service owns the slice, so both go with
//! the release.

use std::net::IpAddr;

use anyhow::{Context, Result};
use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Service},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource,
    core::{ObjectMeta, PartialObjectMeta},
};

use crate::{
    resources::{FIELD_MANAGER, Lenient, Repair},
    runtime::{client::post_params, object_labels::ObjectLabels, pod::PodArgs},
};

/// The label of a slice with the name of its Service, by which kube-proxy finds it.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label of a slice with the name of what manages it. Kubernetes' own controllers leave other slices alone.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// The name of the port, in the Service too.
const PORT: &str = "admission";

/// Where the endpoint listens.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// The address of this pod.
    pub(crate) ip: IpAddr,
    /// The port of the endpoint.
    pub(crate) port: u16,
}

impl Repair for EndpointSlice {}

/// The EndpointSlice of the webhooks.
pub(super) struct Slice {
    slices: Api<Lenient<EndpointSlice>>,
    services: Api<Lenient<PartialObjectMeta<Service>>>,
    name: String,
    labels: ObjectLabels,
    address: Address,
    endpoint: Endpoint,
}

impl Slice {
    /// The slice with the name of the Service, for this pod.
    pub(super) fn new(client: &Client, service: &str, pod: &PodArgs, address: Address) -> Self {
        let namespace = &pod.pod_namespace;
        Self {
            slices: Api::namespaced(client.clone(), namespace),
            services: Api::namespaced(client.clone(), namespace),
            name: service.to_owned(),
            labels: pod.object_labels.clone(),
            endpoint: endpoint(&address, pod),
            address,
        }
    }

    /// Writes the address of this replica, unless it is there.
    ///
    /// # Errors
    ///
    /// When a request fails, or another replica has written at the same time.
    pub(super) async fn publish(&self) -> Result<()> {
        let name = &self.name;
        let service = self.services.get(name).await.context("failed to read the Service of the webhooks")?;
        let stored = self.read().await?;
        let wanted = self.with(stored.clone(), service.meta());
        let written = match &stored {
            Some(stored) if *stored == wanted => return Ok(()),
            Some(_) => self.slices.replace(name, &post_params(), &wanted.into()).await,
            None => self.slices.create(&post_params(), &wanted.into()).await,
        };
        written.map(drop).context("failed to write the EndpointSlice of the webhooks")
    }

    /// Removes the address of this replica, unless another one is there.
    ///
    /// # Errors
    ///
    /// When a request fails, or another replica has written at the same time.
    pub(super) async fn withdraw(&self) -> Result<()> {
        let Some(stored) = self.read().await?.filter(|stored| stored.endpoints.contains(&self.endpoint)) else {
            return Ok(());
        };
        let empty = EndpointSlice { endpoints: Vec::new(), ..stored };
        let written = self.slices.replace(&self.name, &post_params(), &empty.into()).await;
        written.map(drop).context("failed to empty the EndpointSlice of the webhooks")
    }

    async fn read(&self) -> Result<Option<EndpointSlice>> {
        let read = async { anyhow::Ok(self.slices.get_opt(&self.name).await?.map(Lenient::read).transpose()?) };
        read.await.context("failed to read the EndpointSlice of the webhooks")
    }

    /// The slice with the address of this replica, owned by its Service. Everything else stays as it is stored.
    fn with(&self, stored: Option<EndpointSlice>, service: &ObjectMeta) -> EndpointSlice {
        let mut slice = stored.unwrap_or_default();
        slice.metadata.name = Some(self.name.clone());
        self.labels.add_to(&mut slice.metadata);
        let labels = slice.metadata.labels.get_or_insert_default();
        labels.insert(SERVICE_NAME.to_owned(), self.name.clone());
        labels.insert(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned());
        slice.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            name: self.name.clone(),
            uid: service.uid.clone().unwrap_or_default(),
            ..OwnerReference::default()
        }]);
        slice.address_type = if self.address.ip.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned();
        slice.endpoints = vec![self.endpoint.clone()];
        slice.ports = Some(vec![EndpointPort {
            name: Some(PORT.to_owned()),
            port: Some(self.address.port.into()),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        }]);
        slice
    }
}

fn endpoint(address: &Address, pod: &PodArgs) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), serving: Some(true), terminating: Some(false) }),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(pod.pod_name.clone()),
            namespace: Some(pod.pod_namespace.clone()),
            uid: Some(pod.pod_uid.clone()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::{Method, Request, Response};
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;

    /// An API server with one Service and one slice, and a slice of the pod `a`.
    fn slice(stored: Option<Value>) -> (Slice, Arc<Mutex<Option<Value>>>) {
        let stored = Arc::new(Mutex::new(stored));
        let shared = stored.clone();
        let answer = tower::service_fn(move |request: Request<Body>| {
            let stored = shared.clone();
            async move {
                let (head, body) = request.into_parts();
                let is_service = head.uri.path().contains("/services/");
                if [Method::PUT, Method::POST].contains(&head.method) {
                    *stored.lock() = Some(serde_json::from_slice(&body.collect_bytes().await?)?);
                }
                let missing =
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
                let (code, answer): (u16, Value) = match stored.lock().clone() {
                    _ if is_service => (200, json!({"metadata": {"name": "rcm-admission", "uid": "s"}})),
                    Some(stored) => (200, stored),
                    None => (404, missing),
                };
                let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?;
                Ok::<_, tower::BoxError>(answer)
            }
        });
        let pod = PodArgs {
            pod_name: "a".into(),
            pod_namespace: "rcm".into(),
            object_labels: "team=x".parse().unwrap(),
            ..PodArgs::default()
        };
        let address = Address { ip: [10, 0, 0, 1].into(), port: 8443 };
        (Slice::new(&Client::new(answer, "default"), "rcm-admission", &pod, address), stored)
    }

    #[tokio::test]
    async fn the_leader_publishes_its_own_address_and_withdraws_no_other() {
        let (slice, stored) = self::slice(None);
        slice.publish().await.unwrap();
        let first = stored.lock().clone().unwrap();
        assert_eq!(first["endpoints"][0]["addresses"], json!(["10.0.0.1"]));
        assert_eq!((&first["ports"][0]["port"], &first["addressType"]), (&json!(8443), &json!("IPv4")));
        assert_eq!(first["metadata"]["labels"]["kubernetes.io/service-name"], "rcm-admission");
        assert_eq!(first["metadata"]["labels"]["team"], "x");
        assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], "s");

        let mut of_another = first.clone();
        of_another["metadata"]["resourceVersion"] = json!("7");
        // A time that our types cannot hold.
        of_another["metadata"]["managedFields"] = json!([{"manager": "m", "time": "9999-12-31T00:00:00Z"}]);
        of_another["endpoints"][0]["addresses"] = json!(["10.0.0.2"]);
        *stored.lock() = Some(of_another.clone());
        slice.withdraw().await.unwrap();
        assert_eq!(*stored.lock(), Some(of_another), "another leader's");
        slice.publish().await.unwrap();
        let second = stored.lock().clone().unwrap();
        assert_eq!(second["endpoints"], first["endpoints"]);
        assert_eq!(second["metadata"]["resourceVersion"], "7", "so that a write in between is noticed");
        slice.withdraw().await.unwrap();
        assert_eq!(stored.lock().clone().unwrap()["endpoints"], json!([]));
    }
}
