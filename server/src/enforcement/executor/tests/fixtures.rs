//! Executors with the API servers that they write to, and the events that they observe.

use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::{Request, Response};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::BoxError;

use super::*;
use crate::enforcement::fixtures::{replica_count, target, watched_deployments};

/// The context of a server without admission, which keeps the ownership of what it corrects.
fn context(client: Client) -> Context {
    Context {
        client,
        ownership: OwnershipMode::Keep,
        max_replicas: 100,
        metrics: Arc::default(),
        admission_mode: AdmissionMode::Off,
        admission_users: UserNames::Name,
        reviews: Arc::default(),
    }
}

async fn executor_with(context: &Context) -> Executor {
    Executor::new(context, Leadership::sole().begins().await)
}

fn answer(object: &Value) -> Result<Response<Body>, BoxError> {
    Ok(Response::new(Body::from(object.to_string().into_bytes())))
}

/// A Scale of 3 replicas, at version 11.
fn scale() -> Value {
    let (metadata, spec) = (json!({"uid": "u", "resourceVersion": "11"}), json!({"replicas": 3}));
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec})
}

/// An executor whose API server stores every correction at version 11, and the number of its requests.
pub(super) async fn executor() -> (Executor, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let api_server = tower::service_fn(move |request: Request<Body>| {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut object = scale();
        if !request.uri().path().ends_with("/scale") {
            object["kind"] = "Event".into();
        }
        async move { answer(&object) }
    });
    (executor_with(&context(Client::new(api_server, "default"))).await, requests)
}

/// An executor that gives ownership back, and whose API server never answers requests of a path. With the paths of the
/// requests.
pub(super) async fn executor_hanging_at(path: &'static str) -> (Executor, Arc<Mutex<Vec<String>>>) {
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = requests.clone();
    let api_server = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri().path().to_owned();
        let is_hanging = uri.contains(path);
        seen.lock().push(uri);
        async move {
            if is_hanging {
                std::future::pending::<()>().await;
            }
            answer(&scale())
        }
    });
    let context = context(Client::new(api_server, "default"));
    (executor_with(&Context { ownership: OwnershipMode::GiveBack, ..context }).await, requests)
}

/// An executor in the mode `guard`, whose API server asks the webhooks, and never answers requests of a path.
pub(super) async fn guarding_executor_hanging_at(path: &'static str, reviews: &Arc<Reviews>) -> Executor {
    let seen = reviews.clone();
    let api_server = tower::service_fn(move |request: Request<Body>| {
        let is_hanging = request.uri().path().contains(path);
        if request.uri().query().unwrap_or_default().contains("dryRun=All") {
            // The API server asks the webhook before it answers.
            seen.record_dry_run(&"u".into(), !request.uri().path().ends_with("/scale"));
        }
        async move {
            if is_hanging {
                std::future::pending::<()>().await;
            }
            answer(&scale())
        }
    });
    let context = context(Client::new(api_server, "default"));
    executor_with(&Context { admission_mode: AdmissionMode::Guard, reviews: reviews.clone(), ..context }).await
}

/// An event of the Deployment `web`, which is held at 3 replicas: kubectl has written a count, at a version.
pub(super) fn event(version: u64, replicas: i32) -> TargetSnapshot {
    TargetSnapshot {
        key: TargetKey::new("shop", "", "", "web").unwrap(),
        count: Some(replica_count(1, 1, json!({"replicas": 3}), Value::Null)),
        target: Some(Arc::new(target(version, replicas).scaled_by("kubectl").state())),
        kind: watched_deployments(),
        autoscaler: None,
        at: Now::read().wall,
        replaced: None,
    }
}
