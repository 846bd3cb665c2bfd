//! A test's own namespace, and conditions to wait for in it.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::{
    constants::PATIENCE,
    manifests::{Workload, all},
    test_cluster::{TestCluster, shared_cluster},
};

/// A namespace with a name that no other test uses.
pub struct Namespace<'a> {
    /// The namespace's name.
    pub name: String,
    /// The cluster of the namespace.
    pub cluster: &'a TestCluster,
}

impl Namespace<'static> {
    /// Creates a namespace in the shared cluster.
    pub async fn shared(purpose: &str) -> Result<Self> {
        Namespace::new(shared_cluster().await?, purpose).await
    }
}

impl<'a> Namespace<'a> {
    /// Creates a namespace that is named after its purpose.
    pub async fn new(cluster: &'a TestCluster, purpose: &str) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("{purpose}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(cluster.kubectl().args(["create", "namespace", &name])).await?;
        Ok(Self { name, cluster })
    }

    /// Runs kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.cluster.kubectl().args(["--namespace", &self.name]).args(arguments)).await
    }

    /// Runs kubectl in this namespace with a manifest on its standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", &self.name]).args(arguments);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn()?;
        child.stdin.take().context("no standard input")?.write_all(manifest.as_bytes()).await?;
        let output = child.wait_with_output().await?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "kubectl {arguments:?} ended with {}: {stdout}{stderr}", output.status);
        Ok(stdout.into_owned())
    }

    /// Creates a Deployment.
    pub async fn deployment(&self, name: &str, replicas: i32) -> Result<()> {
        self.create(&Workload::deployment(name).replicas(replicas)).await
    }

    /// Creates a StatefulSet.
    pub async fn stateful_set(&self, name: &str, replicas: i32) -> Result<()> {
        self.create(&Workload::stateful_set(name).replicas(replicas)).await
    }

    /// Creates a workload.
    pub async fn create(&self, workload: &Workload<'_>) -> Result<()> {
        self.kubectl_with(&["create", "--filename=-"], &workload.manifest()).await.map(drop)
    }

    /// Creates an object for each name.
    pub async fn create_all(&self, names: &[String], manifest: impl Fn(&str) -> String) -> Result<()> {
        self.kubectl_with(&["create", "--filename=-"], &all(names, manifest)).await.map(drop)
    }

    /// An object, as JSON.
    pub async fn get(&self, object: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", object, "--output=json", "--show-managed-fields"]).await?)?)
    }

    /// The count in an object's spec.
    pub async fn replicas(&self, object: &str) -> Result<i64> {
        // The API server's JSON leaves a 0 out.
        Ok(self.get(object).await?.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0))
    }

    /// Waits until an object's count is this.
    pub async fn wait_for_replicas(&self, object: &str, replicas: i64) -> Result<()> {
        wait::until(&format!("{object} at {replicas} replicas"), PATIENCE, async || {
            let now = self.replicas(object).await?;
            ensure!(now == replicas, "it has {now}");
            Ok(())
        })
        .await
    }

    /// Waits until a ReplicaCount such as `deployment.web` passes a check, and returns it. `what` describes the check.
    pub async fn wait_for_replica_count(
        &self,
        name: &str,
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let object = format!("replicacount/{name}");
        wait::until(what, PATIENCE, async || {
            let count = self.get(&object).await?;
            ensure!(check(&count), "it is {count}");
            Ok(count)
        })
        .await
    }

    /// Waits until the status of a ReplicaCount has this number of drifts and the last is corrected, and returns the
    /// status.
    pub async fn wait_for_drifts(&self, name: &str, drifts: i64) -> Result<Value> {
        let corrected = |count: &Value| {
            count.pointer("/status/drifts") == Some(&drifts.into())
                && count.pointer("/status/lastDrift/correctedAt").is_some()
                && count.pointer("/status/observed") == count.pointer("/status/desired")
        };
        let count =
            self.wait_for_replica_count(name, &format!("{drifts} corrected drifts of {name}"), corrected).await?;
        Ok(count["status"].clone())
    }

    /// Waits until the server has observed that a Deployment is not managed.
    pub async fn wait_until_unmanaged(&self, name: &str) -> Result<()> {
        let request = serde_json::json!({"Namespace": self.name, "Name": name});
        wait::until("the server to know that it is not managed", PATIENCE, async || {
            let refusal = self.cluster.grpcurl("proto.DeploymentsService/GetDeployment", &request).await.err();
            let message = refusal.map(|refusal| refusal.message).unwrap_or_default();
            ensure!(message.contains("is not managed: it has no ReplicaCount"), "{message}");
            Ok(())
        })
        .await
    }

    /// Sets a Deployment's count through `proto.DeploymentsService`.
    pub async fn set(&self, name: &str, replicas: i32) -> Result<Value> {
        let request = serde_json::json!({"Namespace": self.name, "Name": name, "Replicas": replicas});
        Ok(self.cluster.grpcurl("proto.DeploymentsService/SetDeployment", &request).await?)
    }
}

/// An Event that a test waits for.
pub struct ExpectedEvent<'a> {
    /// The namespace of the Event.
    pub namespace: &'a str,
    /// The kind of the object that it is about.
    pub kind: &'a str,
    /// The Event's reason.
    pub reason: &'a str,
    /// A part of the Event's note.
    pub note: &'a str,
}

impl ExpectedEvent<'_> {
    /// Waits for the Event.
    pub async fn wait(&self, cluster: &TestCluster) -> Result<()> {
        let Self { namespace, kind, reason, note } = *self;
        wait::until(&format!("the Event {reason}"), PATIENCE, async || {
            let get = ["get", "events.events.k8s.io", "--namespace", namespace, "--output=json"];
            let events: Value = serde_json::from_str(&run(cluster.kubectl().args(get)).await?)?;
            let mut all = events["items"].as_array().into_iter().flatten();
            let found = all.any(|event| {
                event["reason"] == reason
                    && event["regarding"]["kind"] == kind
                    && event["note"].as_str().is_some_and(|text| text.contains(note))
            });
            ensure!(found, "there is none: {events}");
            Ok(())
        })
        .await
    }
}

/// The status and the reason of an object's condition.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((condition["status"].as_str()?, condition["reason"].as_str()?))
}
