//! An admission webhook that never answers.

use anyhow::{Result, ensure};
use cluster::wait;
use serde_json::json;
use tokio::net::TcpListener;

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
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 30,
                "clientConfig": {"url": format!("https://{}/", listener.local_addr()?)},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                           "resources": ["deployments/scale"]}],
            }],
        });
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
