//! What calls work with, for tests of what they do with the API server's answers about rights.

use std::sync::Arc;

use hyper::{Request, Response};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{authorizer::Authorizer, backend::Backend, validate::RequestValidator, writer::ReplicaCountWriter};
use crate::{
    index::{Index, discovery::Discovery},
    runtime::limiter::Limiter,
    tls::Identity,
};

/// How the API server answers questions about rights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answering {
    Allow,
    Deny,
    /// That an authorizer fails, so that nothing is decided.
    Undecided,
    /// By a status code.
    Fail(u16),
    /// Not at all.
    Hang,
}

/// An API server that answers questions about rights.
#[derive(Clone)]
pub(super) struct ApiServer {
    pub(super) answering: Arc<Mutex<Answering>>,
}

impl ApiServer {
    pub(super) fn new() -> Self {
        Self { answering: Arc::new(Mutex::new(Answering::Allow)) }
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let answer = tower::service_fn(move |_: Request<Body>| {
            let server = server.clone();
            async move {
                let answering = *server.answering.lock();
                let status = match answering {
                    Answering::Allow => json!({"allowed": true}),
                    Answering::Deny => json!({"allowed": false}),
                    Answering::Undecided => json!({"allowed": false, "evaluationError": "the authorizer is down"}),
                    Answering::Hang => return std::future::pending().await,
                    Answering::Fail(code) => {
                        let reason = if code == 403 { "Forbidden" } else { "InternalError" };
                        let failure = json!({
                            "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no",
                        });
                        let body = Body::from(failure.to_string().into_bytes());
                        return Ok(Response::builder().status(code).body(body)?);
                    }
                };
                let answer = json!({"metadata": {}, "spec": {}, "status": status});
                Ok::<_, tower::BoxError>(Response::new(Body::from(answer.to_string().into_bytes())))
            }
        });
        Client::new(answer, "default")
    }

    pub(super) fn backend(&self, index: Index) -> Backend {
        let client = self.client();
        Backend {
            index: Arc::new(index),
            validator: Arc::new(RequestValidator { namespace: None, max_replicas: 100 }),
            authorizer: Authorizer::new(client.clone(), None),
            writer: ReplicaCountWriter::new(client.clone()),
            discovery: Arc::new(Discovery::new(client.clone(), None)),
            client,
            watches: Limiter::new(usize::MAX, usize::MAX, Default::default()),
            lists: Default::default(),
            stop: CancellationToken::new(),
            admission_mode: Default::default(),
        }
    }
}

pub(super) fn user(name: &str) -> Arc<Identity> {
    Arc::new(Identity { user: name.into(), groups: Vec::new() })
}
