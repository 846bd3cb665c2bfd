//! Admission webhooks of others: one that never answers, and one that refuses.

use std::sync::Arc;

use anyhow::{Error, Result, ensure};
use cluster::wait;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{constants::PATIENCE, namespace::Namespace};

/// A validating webhook for changes of a namespace's counts through `/scale`. It never answers.
pub struct HangingWebhook {
    name: String,
    /// Accepts connections, and never answers.
    _listener: TcpListener,
}

impl HangingWebhook {
    /// Creates the webhook, and waits until a change of this Deployment hangs.
    pub async fn start(namespace: &Namespace<'_>, deployment: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let name = format!("{}.example.com", namespace.name);
        let client = json!({"url": format!("https://{}/", listener.local_addr()?)});
        let rules = json!([{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                            "resources": ["deployments/scale"]}]);
        let webhook = configuration(namespace, &name, &json!({"clientConfig": client, "rules": rules}));
        namespace.kubectl_with(&["create", "--filename=-"], &webhook.to_string()).await?;
        let deployment = format!("deployment/{deployment}");
        wait::until("the webhook to hang", PATIENCE, async || {
            let same = format!("--replicas={}", namespace.replicas(&deployment).await?);
            let mut scale = namespace.cluster.kubectl();
            scale.args(["scale", &deployment, &same, "--request-timeout=1s", "--namespace", &namespace.name]);
            ensure!(!scale.output().await?.status.success(), "it does not hang yet");
            Ok(())
        })
        .await?;
        Ok(Self { name, _listener: listener })
    }

    /// Deletes the webhook.
    pub async fn end(self, namespace: &Namespace<'_>) -> Result<()> {
        namespace.kubectl(&["delete", "validatingwebhookconfiguration", &self.name]).await.map(drop)
    }
}

/// The configuration of a validating webhook for one namespace.
fn configuration(namespace: &Namespace<'_>, name: &str, further: &Value) -> Value {
    let mut webhook = json!({
        "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 30,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
    });
    for (field, value) in further.as_object().into_iter().flatten() {
        webhook[field] = value.clone();
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [webhook],
    })
}

/// A validating webhook that refuses some changes of the counts of a namespace's Deployments. The API server asks it at
/// the same time as all other validating webhooks. It ends with this value, and then lets everything through.
pub struct RefusingWebhook {
    serving: JoinHandle<()>,
}

impl RefusingWebhook {
    /// Creates the webhook for the writes that fit a condition in CEL, and waits until it refuses to scale a Deployment to
    /// a count.
    pub async fn start(namespace: &Namespace<'_>, condition: &str, deployment: &str, refused: i32) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = rcgen::generate_simple_self_signed([address.ip().to_string()])?;
        let name = format!("{}.example.org", namespace.name);
        let webhook = json!({
            "failurePolicy": "Ignore",
            "clientConfig": {"url": format!("https://{address}/"), "caBundle": ByteString(own.cert.pem().into())},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                       "resources": ["deployments", "deployments/scale"]}],
            "matchConditions": [{"name": "refused", "expression": condition}],
        });
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(Error::msg)?;
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.into()], key)?;
        let serving = tokio::spawn(refuse_all(listener, Arc::new(config).into()));
        let webhook = configuration(namespace, &name, &webhook);
        namespace.kubectl_with(&["create", "--filename=-"], &webhook.to_string()).await?;
        let (deployment, replicas) = (format!("deployment/{deployment}"), format!("--replicas={refused}"));
        wait::until("the refusal", PATIENCE, async || {
            let scale = namespace.kubectl(&["scale", &deployment, &replicas, "--dry-run=server"]).await;
            ensure!(scale.is_err_and(|error| error.to_string().contains(REFUSAL)), "it was accepted");
            Ok(())
        })
        .await?;
        Ok(Self { serving })
    }
}

impl Drop for RefusingWebhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The message of each refusal.
const REFUSAL: &str = "refused by the test";

async fn refuse_all(listener: TcpListener, tls: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((socket, _)) = listener.accept() => {
                let tls = tls.clone();
                connections.spawn(async move {
                    let stream = TokioIo::new(tls.accept(socket).await?);
                    http1::Builder::new().serve_connection(stream, service_fn(refuse)).await?;
                    anyhow::Ok(())
                });
            }
        }
    }
}

async fn refuse(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": false, "status": {"message": REFUSAL}},
    });
    Ok(Response::builder().header("content-type", "application/json").body(answer.to_string().into())?)
}
