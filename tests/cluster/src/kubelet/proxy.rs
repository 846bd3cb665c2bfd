//! Stands in for kube-proxy: connects the API server to the processes behind Services.
//!
//! The API server asks for each connection by HTTP CONNECT on a unix socket. The address of a Service leads to its first
//! ready endpoint, the address of a pod to the pod's process, and a loopback address to itself, because there kwok answers
//! for every kubelet. All other addresses are refused.

use std::fmt::Debug;
use std::fs;
use std::future::ready;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{Store, reflector, store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::context::Context;
use crate::cluster_files::ClusterFiles;

/// The longest request. The API server's has some 60 bytes.
const LONGEST_REQUEST: u64 = 1024;

/// How long a request and a connection to a process may take. A connection on loopback takes far less.
const PATIENCE: Duration = Duration::from_secs(10);

/// The label with the name of an EndpointSlice's Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Creates the socket. An earlier kubelet of the cluster may have left one behind.
pub(super) fn listen(files: &ClusterFiles) -> Result<UnixListener> {
    let socket = files.egress();
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    UnixListener::bind(&socket).with_context(|| format!("failed to listen on {}", socket.display()))
}

/// Serves the API server's connections.
pub(super) async fn serve(context: Arc<Context>, listener: UnixListener) {
    let (services, service_writer) = store();
    let (slices, slice_writer) = store();
    let mut watches = JoinSet::new();
    watches.spawn(follow(context.client.clone(), service_writer));
    watches.spawn(follow(context.client.clone(), slice_writer));
    let network = Arc::new(Network { services, slices, context });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                let network = network.clone();
                connections.spawn(async move {
                    if let Err(error) = connect(&network, stream).await {
                        network.context.log(&format!("a connection of the API server: {error:#}"));
                    }
                });
            }
        }
    }
}

/// Keeps a store up to date.
async fn follow<K>(client: Client, writer: Writer<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let events = watcher(Api::all(client), watcher::Config::default()).default_backoff();
    reflector(writer, events).for_each(|_| ready(())).await;
}

/// The Services, their endpoints and the pods.
struct Network {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    context: Arc<Context>,
}

impl Network {
    /// The process behind an address of the cluster's network.
    fn process(&self, address: SocketAddr) -> Option<SocketAddr> {
        if address.ip().is_loopback() {
            return Some(address);
        }
        let endpoint = endpoint(address, &self.services.state(), &self.slices.state()).unwrap_or(address);
        let registry = self.context.registry.lock();
        let pod = registry.values().find(|entry| entry.address == endpoint.ip())?;
        pod.listener(endpoint.port())
    }
}

/// The first ready endpoint of a Service by its address.
fn endpoint(address: SocketAddr, services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> Option<SocketAddr> {
    let ip = address.ip().to_string();
    let service = services.iter().find(|service| {
        let spec = service.spec.as_ref();
        spec.and_then(|spec| spec.cluster_ip.as_ref()).is_some_and(|cluster_ip| *cluster_ip == ip)
    })?;
    let mut ports = service.spec.as_ref()?.ports.iter().flatten();
    let port = ports.find(|port| port.port == i32::from(address.port()))?;
    let name = port.name.as_deref().unwrap_or_default();
    let is_of_service = |slice: &&Arc<EndpointSlice>| {
        slice.namespace() == service.namespace() && slice.labels().get(SERVICE_NAME) == Some(&service.name_any())
    };
    slices.iter().filter(is_of_service).find_map(|slice| ready_endpoint(slice, name))
}

/// The first ready endpoint of a slice, with its port of this name. An endpoint that does not say whether it is ready
/// counts as ready.
fn ready_endpoint(slice: &EndpointSlice, name: &str) -> Option<SocketAddr> {
    let mut ports = slice.ports.iter().flatten();
    let port = ports.find(|port| port.name.as_deref().unwrap_or_default() == name)?.port?;
    let mut endpoints = slice.endpoints.iter();
    let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
    let endpoint = endpoints.find(|one| is_ready(one.conditions.as_ref().and_then(|conditions| conditions.ready)))?;
    let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// Reads a request, and connects its stream to the process that it asks for.
async fn connect(network: &Network, mut stream: UnixStream) -> Result<()> {
    let address = timeout(PATIENCE, requested(&mut stream)).await??;
    let dial = async {
        let process = network.process(address).with_context(|| format!("{address} leads to no process"))?;
        let socket = timeout(PATIENCE, TcpStream::connect(process)).await?;
        socket.with_context(|| format!("{address} leads to {process}, where no process listens"))
    };
    match dial.await {
        Ok(mut socket) => {
            socket.set_nodelay(true)?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            // Either side may end by a reset, which is no failure of the proxy.
            let _ = copy_bidirectional(&mut stream, &mut socket).await;
            Ok(())
        }
        Err(error) => {
            stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await?;
            Err(error)
        }
    }
}

/// Reads a CONNECT request, and returns the address that it asks for. The client sends nothing more before the answer.
async fn requested(stream: &mut (impl AsyncRead + Unpin)) -> Result<SocketAddr> {
    let mut stream = stream.take(LONGEST_REQUEST);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut request).await? > 0, "the request is too long, or not complete");
    }
    let request = String::from_utf8(request)?;
    let address = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let address = address.with_context(|| format!("{request:?} is not a CONNECT request"))?;
    address.parse().with_context(|| format!("{address} is not an address"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service() -> Result<Vec<Arc<Service>>> {
        let service = json!({
            "metadata": {"namespace": "shop", "name": "hook"},
            "spec": {"clusterIP": "10.96.0.7", "ports": [
                {"name": "hook", "port": 443}, {"name": "other", "port": 80}, {"name": "absent", "port": 81},
            ]},
        });
        Ok(vec![Arc::new(serde_json::from_value(service)?)])
    }

    fn slice(namespace: &str, service: &str, endpoints: &Value) -> Result<Arc<EndpointSlice>> {
        let slice = json!({
            "metadata": {"namespace": namespace, "name": service, "labels": {SERVICE_NAME: service}},
            "addressType": "IPv4",
            "ports": [{"name": "hook", "port": 8443}, {"name": "other", "port": 8080}],
            "endpoints": endpoints,
        });
        Ok(Arc::new(serde_json::from_value(slice)?))
    }

    #[test]
    fn the_address_of_a_service_leads_to_its_first_ready_endpoint() -> Result<()> {
        let endpoints = json!([
            {"addresses": ["10.244.0.2"], "conditions": {"ready": false}},
            {"addresses": ["10.244.0.3"]},
            {"addresses": ["10.244.0.4"], "conditions": {"ready": true}},
        ]);
        let ready = slice("shop", "hook", &endpoints)?;
        let others = [slice("other", "hook", &endpoints)?, slice("shop", "other", &endpoints)?];
        let none = slice("shop", "hook", &json!([]))?;
        let rows = [
            ("its port", "10.96.0.7:443", vec![none.clone(), ready.clone()], Some("10.244.0.3:8443")),
            ("another port", "10.96.0.7:80", vec![ready.clone()], Some("10.244.0.3:8080")),
            ("a port without an endpoint", "10.96.0.7:81", vec![ready.clone()], None),
            ("a port that the Service lacks", "10.96.0.7:8443", vec![ready.clone()], None),
            ("another address", "10.96.0.8:443", vec![ready], None),
            ("no endpoint", "10.96.0.7:443", vec![none], None),
            ("endpoints of others", "10.96.0.7:443", others.to_vec(), None),
        ];
        for (name, address, slices, expected) in rows {
            let expected: Option<SocketAddr> = expected.map(str::parse).transpose()?;
            assert_eq!(endpoint(address.parse()?, &service()?, &slices), expected, "{name}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn only_a_complete_request_for_an_address_is_read() -> Result<()> {
        let long = format!("CONNECT 10.96.0.7:443 HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(2000));
        let rows = [
            ("as the API server asks", "CONNECT 10.96.0.7:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", true),
            ("another method", "GET / HTTP/1.1\r\n\r\n", false),
            ("a name", "CONNECT localhost:443 HTTP/1.1\r\n\r\n", false),
            ("not complete", "CONNECT 10.96.0.7:443 HTTP/1.1\r\n", false),
            ("too long", long.as_str(), false),
        ];
        for (name, request, is_accepted) in rows {
            let address = requested(&mut request.as_bytes()).await.ok();
            assert_eq!(address, is_accepted.then_some(SocketAddr::from(([10, 96, 0, 7], 443))), "{name}");
        }
        Ok(())
    }
}
