//! An API server that knows one Lease, and the ways of several replicas to it: slow, deaf or broken.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Frame},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What becomes of a request that is sent now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// It takes so long to arrive, and its answer as long to come back.
    Takes(Duration, Duration),
    /// It is answered with this code.
    Refuses(u16),
    /// It never arrives.
    Swallows,
    /// It is done, and its answer never arrives.
    Mute,
}

impl Way {
    pub const OPEN: Self = Self::Takes(Duration::from_millis(2), Duration::from_millis(2));
}

/// The API server.
#[derive(Clone)]
pub struct Fake {
    lease: Arc<Mutex<Option<Value>>>,
    changed: watch::Sender<u64>,
}

impl Default for Fake {
    fn default() -> Self {
        Self { lease: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl Fake {
    /// The Lease that is stored.
    pub fn lease(&self) -> Option<Lease> {
        self.lease.lock().unwrap().clone().map(|lease| serde_json::from_value(lease).unwrap())
    }

    /// Stores a Lease as somebody else would.
    pub fn store(&self, spec: Value) {
        self.put(json!({"metadata": {"name": "leader", "namespace": "here"}, "spec": spec}));
    }

    /// Stores a Lease with other labels.
    pub fn relabel(&self, lease: Value) {
        self.put(lease);
    }

    fn put(&self, mut lease: Value) -> Value {
        let version = *self.changed.borrow() + 1;
        lease["metadata"]["resourceVersion"] = version.to_string().into();
        *self.lease.lock().unwrap() = Some(lease.clone());
        self.changed.send_replace(version);
        lease
    }

    /// A client whose requests go a way that may change.
    pub fn client(&self, way: watch::Receiver<Way>) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fake, way) = (fake.clone(), way.clone());
            async move { Ok::<_, Infallible>(fake.serve(request, way).await) }
        });
        Client::new(service, "here")
    }

    async fn serve(&self, request: Request<Body>, way: watch::Receiver<Way>) -> Answer {
        let now = *way.borrow();
        let (there, back) = match now {
            Way::Takes(there, back) => (there, Some(back)),
            Way::Mute => (Duration::ZERO, None),
            Way::Refuses(code) => return failure(code, "Refused"),
            Way::Swallows => return std::future::pending().await,
        };
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            return self.events(way);
        }
        let fake = self.clone();
        // What was sent arrives, also once nobody waits for its answer any more.
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
        let stored = self.lease.lock().unwrap().clone();
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

    /// The events of a watch, as long as the way is a good one.
    fn events(&self, way: watch::Receiver<Way>) -> Answer {
        let (fake, mut changed) = (self.clone(), self.changed.subscribe());
        changed.mark_changed();
        let events = stream::unfold((fake, changed, way), |(fake, mut changed, way)| async {
            changed.changed().await.ok()?;
            if !matches!(*way.borrow(), Way::Takes(..)) {
                return None;
            }
            let event = fake.lease.lock().unwrap().as_ref().map(|lease| json!({"type": "MODIFIED", "object": lease}));
            let line = event.map_or(String::new(), |event| format!("{event}\n"));
            Some((Ok(Frame::data(Bytes::from(line))), (fake, changed, way)))
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
