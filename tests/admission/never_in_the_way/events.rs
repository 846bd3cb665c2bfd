//! What happens to the server, to its address and to its webhooks.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{Component, run, wait};
use k8s_openapi::ByteString;
use serde_json::json;
use tokio::time::sleep;

use super::Scene;
use support::{
    Certificate, PATIENCE, Server,
    admission::{self, CONFIGURATION},
    release::{self, ADMISSION_SERVICE, NAME},
    served_certificate,
    two_replicas::leader_and_standby,
};

/// An address of the network of pods that no pod has.
const NO_POD: &str = "10.244.249.249";

impl Scene {
    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.cluster.kubectl().args(["--namespace", NAME]).args(arguments)).await
    }

    /// Replaces all pods, as an upgrade does.
    pub(super) async fn roll_out(&self) -> Result<()> {
        let deployment = format!("deployment/{NAME}");
        self.kubectl(&["rollout", "restart", &deployment]).await?;
        self.kubectl(&["rollout", "status", &deployment, "--timeout=2m"]).await?;
        self.wait_until_reviewed().await
    }

    /// Waits until the leader answers.
    async fn wait_until_reviewed(&self) -> Result<()> {
        admission::wait_until_in_force(&self.cluster).await
    }

    /// Leads the API server to another address. The leader puts its own back, at the latest after half a minute.
    async fn redirect(&self, address: &str) -> Result<()> {
        let patch = json!({"endpoints": [{"addresses": [address], "conditions": {"ready": true}}]});
        let patch = format!("--patch={patch}");
        self.kubectl(&["patch", "endpointslice", ADMISSION_SERVICE, "--type=merge", &patch]).await?;
        self.reconnect().await
    }

    /// Makes the API server open new connections: it does so for another CA, if only by an empty line.
    async fn reconnect(&self) -> Result<()> {
        for kind in ["validating", "mutating"] {
            let mut configuration = admission::configuration(&self.cluster, kind).await?;
            for webhook in configuration["webhooks"].as_array_mut().into_iter().flatten() {
                let mut bundle: ByteString = serde_json::from_value(webhook["clientConfig"]["caBundle"].take())?;
                bundle.0.push(b'\n');
                webhook["clientConfig"]["caBundle"] = serde_json::to_value(bundle)?;
            }
            self.cluster.replace(&configuration.to_string()).await?;
        }
        Ok(())
    }

    /// Lets the API server ask a replica that does not lead.
    pub(super) async fn ask_standby(&self) -> Result<()> {
        let Server { pod, .. } = leader_and_standby(&self.cluster).await?.1;
        let address = self.kubectl(&["get", "pod", &pod, "--output=jsonpath={.status.podIP}"]).await?;
        self.redirect(&address).await?;
        self.wait_until_reviewed().await
    }

    pub(super) async fn lose_address(&self) -> Result<()> {
        self.redirect(NO_POD).await?;
        self.wait_until_reviewed().await
    }

    /// Overwrites what the leader has written into the webhooks, and waits until it has written it again.
    pub(super) async fn damage_webhooks(&self) -> Result<()> {
        let path = format!("/{}/validate", "0".repeat(64));
        let damage = json!([{"op": "add", "path": "/webhooks/0/clientConfig/service/path", "value": path}]);
        let damage = format!("--patch={damage}");
        self.kubectl(&["patch", "validatingwebhookconfiguration", CONFIGURATION, "--type=json", &damage]).await?;
        wait::until("the path of the leader", PATIENCE, async || {
            ensure!(admission::secret_path(&self.cluster).await? != path, "it is still another one");
            Ok(())
        })
        .await
    }

    pub(super) async fn delete_webhooks(&self) -> Result<()> {
        for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
            self.kubectl(&["delete", kind, CONFIGURATION]).await?;
        }
        Ok(())
    }

    pub(super) async fn kill_leader(&self) -> Result<()> {
        leader_and_standby(&self.cluster).await?.0.process.kill()
    }

    pub(super) async fn kill_all(&self) -> Result<()> {
        for server in self.cluster.servers_in(NAME).await? {
            // One that was killed before may not run again yet.
            let _ = server.process.kill();
        }
        Ok(())
    }

    /// Lets the leader accept connections, but answer nothing. The controllers rest meanwhile: if they write an object
    /// during the timeout, the API server tries the other write again, and calls the webhooks again.
    pub(super) async fn silence_leader(&self, lasting: Duration) -> Result<()> {
        let leader = leader_and_standby(&self.cluster).await?.0;
        let controllers = self.cluster.control_plane.component(Component::ControllerManager);
        controllers.pause()?;
        leader.process.pause()?;
        // Nothing tells when enough writes have met the silence: their number and their times are the result.
        sleep(lasting).await;
        leader.process.resume()?;
        controllers.resume()
    }

    pub(super) async fn rotate(&self) -> Result<()> {
        let server = self.cluster.server().await?;
        let admin = Certificate::load(self.cluster.certificates())?;
        let address = server.process.address("grpc")?.to_string();
        let before = served_certificate(&address, &admin).await?;
        self.cluster.renew_server_certificate().await?;
        wait::until("the new certificate", PATIENCE, async || {
            ensure!(served_certificate(&address, &admin).await? != before, "it is still the old one");
            Ok(())
        })
        .await
    }

    /// Replaces the server's certificate by one of a CA that the webhooks do not know.
    pub(super) async fn replace_ca(&self) -> Result<()> {
        let folder = self.cluster.folder().join("another-ca");
        release::make_certificates(&folder).await?;
        let read = |file: &str| std::fs::read_to_string(folder.join(file));
        let files = json!({"stringData": {
            "tls.crt": read("server/server.crt")?, "tls.key": read("server/server.key")?, "ca.crt": read("ca/ca.crt")?,
        }});
        let patch = ["--type=merge", "--namespace", NAME, &format!("--patch={files}")];
        let mut kubectl = self.cluster.kubectl();
        run(kubectl.args(["patch", "secret", "replica-count-manager-certificates"]).args(patch)).await?;
        let admin = Certificate::load(&folder)?;
        let address = self.cluster.server().await?.process.address("grpc")?.to_string();
        wait::until("the certificate of the other CA", PATIENCE, async || {
            served_certificate(&address, &admin).await.map(drop)
        })
        .await
    }

    pub(super) async fn delete_definition(&self) -> Result<()> {
        let delete = ["delete", "customresourcedefinition", "replicacounts.replica-count-manager.io"];
        run(self.cluster.kubectl().args(delete)).await.map(drop)
    }

    pub(super) async fn uninstall(&self) -> Result<()> {
        let uninstall = ["uninstall", NAME, "--namespace", NAME, "--wait", "--timeout=2m"];
        run(self.cluster.helm().args(uninstall)).await.map(drop)
    }
}
