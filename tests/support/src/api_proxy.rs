//! A proxy in front of the API server, which breaks the requests that a test chooses.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use cluster::ports;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::test_cluster::TestCluster;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is served.
    None,
    /// It is never answered, and an answer that has begun stops. Both stay like this after a repair.
    Silence,
    /// It is refused with this status.
    Status(u16),
    /// It is refused as API Priority and Fairness does it, with this Retry-After in seconds.
    Busy(u64),
    /// Its answer comes at this speed, in bytes a second. A watch ends after the time that it asks for, as it does if
    /// its client reads slowly.
    Slow(usize),
    /// A Scale in its answer is one of OpenShift's DeploymentConfigs: it has another version, and another form of status.
    ScaleOfOpenShift,
}

type Rule = Box<dyn Fn(&str) -> Fault + Send + Sync>;

/// A proxy with an administrator's rights. It listens in plain HTTP, and ends with this value.
pub struct ApiProxy {
    address: String,
    kubeconfig: PathBuf,
    client: Client,
    rule: Arc<RwLock<Rule>>,
    serving: Option<JoinHandle<()>>,
}

impl ApiProxy {
    /// Reserves a port of an address. Connections are refused until [`listen`](Self::listen).
    pub async fn new(cluster: &TestCluster, ip: &str) -> Result<Self> {
        let port = ports::free()?;
        let address = format!("{ip}:{port}");
        let kubeconfig = cluster.folder().join(format!("proxy-{port}.kubeconfig"));
        let config = format!(
            "{{apiVersion: v1, kind: Config, current-context: proxy, users: [{{name: proxy, user: {{}}}}], \
             clusters: [{{name: proxy, cluster: {{server: 'http://{address}'}}}}], \
             contexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]}}"
        );
        std::fs::write(&kubeconfig, config)?;
        let rule: Rule = Box::new(|_| Fault::None);
        let client = cluster.control_plane.client().await?;
        Ok(Self { address, kubeconfig, client, rule: Arc::new(RwLock::new(rule)), serving: None })
    }

    /// Starts to serve.
    pub async fn listen(mut self) -> Result<Self> {
        let listener = TcpListener::bind(&self.address).await?;
        self.serving = Some(tokio::spawn(serve(listener, self.client.clone(), self.rule.clone())));
        Ok(self)
    }

    /// The kubeconfig file of clients.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Breaks requests from now on, by their path and query.
    pub fn set(&self, rule: impl Fn(&str) -> Fault + Send + Sync + 'static) {
        *self.rule.write() = Box::new(rule);
    }

    /// Serves all requests from now on.
    pub fn repair(&self) {
        self.set(|_| Fault::None);
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, client: Client, rule: Arc<RwLock<Rule>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((socket, _)) = listener.accept() => {
                let (client, rule) = (client.clone(), rule.clone());
                let service = service_fn(move |request| answer(request, client.clone(), rule.clone()));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    client: Client,
    rule: Arc<RwLock<Rule>>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>> {
    let path = request.uri().to_string();
    let asked = path.split_once("timeoutSeconds=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok());
    let ends = asked.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let fault = move || (rule.read())(&path);
    if let Fault::Status(code) = fault() {
        let status = format!(
            r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","code":{code},"message":"broken by the test"}}"#
        );
        return Ok(Response::builder().status(code).body(Full::from(status).boxed_unsync())?);
    }
    if let Fault::Busy(seconds) = fault() {
        let refusal = Response::builder().status(429).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        return Ok(refusal.header(RETRY_AFTER, seconds).body(Full::from("broken by the test").boxed_unsync())?);
    }
    silence(fault()).await;
    let (head, body) = request.into_parts();
    let body = Body::from(body.collect().await?.to_bytes());
    let (mut head, body) = client.send(Request::from_parts(head, body)).await?.into_parts();
    if fault() == Fault::ScaleOfOpenShift {
        let scale = scale_of_openshift(&body.collect().await?.to_bytes())?;
        head.headers.remove(CONTENT_LENGTH);
        return Ok(Response::from_parts(head, Full::from(scale).boxed_unsync()));
    }
    let frames = stream::unfold((body, Bytes::new(), fault, ends), async |(mut body, mut data, fault, ends)| {
        if data.is_empty() {
            let frame = body.frame().await;
            silence(fault()).await;
            data = frame?.ok()?.into_data().unwrap_or_default();
        }
        silence(fault()).await;
        let piece = match fault() {
            Fault::Slow(_) if ends.is_some_and(|ends| ends <= Instant::now()) => return None,
            Fault::Slow(speed) => {
                sleep(Duration::from_secs(1)).await;
                data.split_to(data.len().min(speed))
            }
            _ => std::mem::take(&mut data),
        };
        Some((Ok(Frame::data(piece)), (body, data, fault, ends)))
    });
    Ok(Response::from_parts(head, StreamBody::new(frames.boxed()).boxed_unsync()))
}

/// Turns the API server's Scale into the one that OpenShift serves for DeploymentConfigs. Another object stays as it is.
fn scale_of_openshift(body: &[u8]) -> Result<Vec<u8>> {
    let mut object: Value = serde_json::from_slice(body)?;
    if object["kind"] == "Scale" {
        object["apiVersion"] = json!("extensions/v1beta1");
        object["status"] = json!({"replicas": 1, "selector": {"app": "web"}, "targetSelector": "app=web"});
    }
    Ok(serde_json::to_vec(&object)?)
}

/// Never returns if the fault is silence.
async fn silence(fault: Fault) {
    if fault == Fault::Silence {
        std::future::pending::<()>().await;
    }
}
