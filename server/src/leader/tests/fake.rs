//! A fake API server with one Lease, and the networks between it and the replicas.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Frame},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// How the network treats a request that is sent now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// The request takes the first time to arrive, and its answer the second.
    Delays(Duration, Duration),
    /// The request is answered with this code.
    Refuses(u16),
    /// The request never arrives.
    LosesRequests,
    /// The request is served, but its answer never arrives.
    LosesAnswers,
}

impl Network {
    pub const GOOD: Self = Self::Delays(Duration::from_millis(2), Duration::from_millis(2));
}

#[derive(Clone)]
pub struct FakeApiServer {
    lease: Arc<Mutex<Option<Value>>>,
    changed: watch::Sender<u64>,
}

impl Default for FakeApiServer {
    fn default() -> Self {
        Self { lease: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl FakeApiServer {
    /// The stored Lease.
    pub fn lease(&self) -> Option<Lease> {
        self.lease.lock().clone().map(|lease| serde_json::from_value(lease).unwrap())
    }

    /// Stores a Lease as somebody else would.
    pub fn store(&self, spec: Value) {
        self.put(json!({"metadata": {"name": "leader", "namespace": "here"}, "spec": spec}));
    }

    /// Replaces the Lease as somebody else would.
    pub fn replace(&self, lease: Value) {
        self.put(lease);
    }

    fn put(&self, mut lease: Value) -> Value {
        let version = *self.changed.borrow() + 1;
        lease["metadata"]["resourceVersion"] = version.to_string().into();
        *self.lease.lock() = Some(lease.clone());
        self.changed.send_replace(version);
        lease
    }

    /// A client behind a network that may change.
    pub fn client(&self, network: watch::Receiver<Network>) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fake, network) = (fake.clone(), network.clone());
            async move { Ok::<_, Infallible>(fake.serve(request, network).await) }
        });
        Client::new(service, "here")
    }

    async fn serve(&self, request: Request<Body>, network: watch::Receiver<Network>) -> Answer {
        let now = *network.borrow();
        let (there, back) = match now {
            Network::Delays(there, back) => (there, Some(back)),
            Network::LosesAnswers => (Duration::ZERO, None),
            Network::Refuses(code) => return failure(code, "Refused"),
            Network::LosesRequests => return std::future::pending().await,
        };
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            return self.events(network);
        }
        let fake = self.clone();
        // A request that was sent arrives even after its sender has stopped waiting.
        let arrives = tokio::spawn(async move {
            sleep(there).await;
            fake.answer(request).await
        });
        let answer = arrives.await.unwrap();
        match back {
            Some(back) => sleep(back).await,
            None => std::future::pending().await,
        }
        answer
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let stored = self.lease.lock().clone();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        match (method, stored) {
            (Method::GET, Some(lease)) => success(&lease),
            (Method::POST, None) => success(&self.put(serde_json::from_slice(&body).unwrap())),
            (Method::POST, Some(_)) => failure(409, "AlreadyExists"),
            (Method::PUT, Some(stored)) => {
                let lease: Value = serde_json::from_slice(&body).unwrap();
                assert!(version(&lease).is_string(), "a write without a precondition: {lease}");
                if version(&lease) == version(&stored) { success(&self.put(lease)) } else { failure(409, "Conflict") }
            }
            (_, None) => failure(404, "NotFound"),
            (method, _) => panic!("a Lease is not to be used with {method}"),
        }
    }

    /// The events of a watch, while the network delivers.
    fn events(&self, network: watch::Receiver<Network>) -> Answer {
        let (fake, mut changed) = (self.clone(), self.changed.subscribe());
        changed.mark_changed();
        let events = stream::unfold((fake, changed, network), |(fake, mut changed, network)| async {
            changed.changed().await.ok()?;
            if !matches!(*network.borrow(), Network::Delays(..)) {
                return None;
            }
            let event = fake.lease.lock().as_ref().map(|lease| json!({"type": "MODIFIED", "object": lease}));
            let line = event.map_or(String::new(), |event| format!("{event}\n"));
            Some((Ok(Frame::data(Bytes::from(line))), (fake, changed, network)))
        });
        Response::new(StreamBody::new(events.boxed()).boxed_unsync())
    }
}

fn success(lease: &Value) -> Answer {
    let mut lease = lease.clone();
    lease["apiVersion"] = "coordination.k8s.io/v1".into();
    lease["kind"] = "Lease".into();
    Response::new(Full::from(lease.to_string()).boxed_unsync())
}

fn failure(code: u16, reason: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason});
    let answer = Response::builder().status(code);
    answer.body(Full::from(status.to_string()).boxed_unsync()).unwrap()
}
