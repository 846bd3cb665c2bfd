//! An API server that reviews tokens, for tests.

use std::{future::pending, sync::Arc};

use http_body_util::BodyExt;
use hyper::{Request, Response};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::readers::Readers;

/// How the API server answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answering {
    /// The tokens `reader` and `other` are those of users with these names, and the first one may read the metrics.
    Properly,
    /// No user may read them any more.
    Revoked,
    /// About rights, that an authorizer fails, so that nothing is decided.
    Undecided,
    /// By a status code.
    Fail(u16),
    /// By a success that says nothing.
    Nonsense,
    /// Not at all.
    Hang,
}

/// An API server that answers questions about tokens.
#[derive(Clone)]
pub(super) struct ApiServer {
    pub(super) answering: Arc<Mutex<Answering>>,
    /// What it was asked about: tokens and users.
    pub(super) asked: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    pub(super) fn new(answering: Answering) -> Self {
        Self { answering: Arc::new(Mutex::new(answering)), asked: Arc::default() }
    }

    pub(super) fn readers(&self) -> Arc<Readers> {
        let server = self.clone();
        let answer = tower::service_fn(move |request: Request<Body>| server.clone().answer(request));
        Readers::new(Client::new(answer, "default"))
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let is_token_review = request.uri().path() == "/apis/authentication.k8s.io/v1/tokenreviews";
        let body = request.into_body().collect().await?.to_bytes();
        let mut review: Value = serde_json::from_slice(&body)?;
        let spec = review["spec"].take();
        let subject = if is_token_review { &spec["token"] } else { &spec["user"] };
        let subject = subject.as_str().unwrap_or_default().to_owned();
        self.asked.lock().push(subject.clone());
        let answering = *self.answering.lock();
        let is_user = ["reader", "other"].contains(&&*subject);
        let status = match answering {
            Answering::Hang => return pending().await,
            Answering::Fail(code) => return Ok(Response::builder().status(code).body(Body::empty())?),
            Answering::Nonsense => Value::Null,
            Answering::Properly | Answering::Revoked | Answering::Undecided if is_token_review && is_user => {
                json!({"authenticated": true, "user": {"username": subject, "groups": ["system:authenticated"]}})
            }
            Answering::Properly | Answering::Revoked | Answering::Undecided if is_token_review => {
                json!({"error": "invalid bearer token"})
            }
            Answering::Undecided => json!({"allowed": false, "evaluationError": "the authorizer is down"}),
            Answering::Properly | Answering::Revoked => {
                let is_asked = spec["nonResourceAttributes"] == json!({"path": "/metrics", "verb": "get"});
                let has_groups = spec["groups"] == json!(["system:authenticated"]);
                let has_right = subject == "reader" && matches!(answering, Answering::Properly);
                json!({"allowed": is_asked && has_groups && has_right})
            }
        };
        let answer = json!({"metadata": {}, "spec": spec, "status": status});
        Ok(Response::new(Body::from(answer.to_string().into_bytes())))
    }
}
