//! A namespace of a test's own, and what is in it.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, run, wait};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{PATIENCE, World, world};

/// A namespace with a name that no other test uses.
pub struct Namespace<'a> {
    /// Its name.
    pub name: String,
    /// The cluster.
    pub world: &'a World,
}

impl Namespace<'static> {
    /// A namespace in the shared cluster.
    pub async fn shared(purpose: &str) -> Result<Self> {
        Namespace::new(world().await?, purpose).await
    }
}

impl<'a> Namespace<'a> {
    /// Creates a namespace named after its purpose.
    pub async fn new(world: &'a World, purpose: &str) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("{purpose}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(world.cluster.kubectl().args(["create", "namespace", &name])).await?;
        Ok(Self { name, world })
    }

    /// Runs kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.world.cluster.kubectl().args(["--namespace", &self.name]).args(arguments)).await
    }

    /// Runs kubectl in this namespace with a manifest on its standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        let mut kubectl = self.world.cluster.kubectl();
        kubectl.args(["--namespace", &self.name]).args(arguments);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn()?;
        child.stdin.take().context("no standard input")?.write_all(manifest.as_bytes()).await?;
        let output = child.wait_with_output().await?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "kubectl {arguments:?} ended with {}: {stdout}{stderr}", output.status);
        Ok(stdout.into_owned())
    }

    /// Creates a Deployment whose pods kwok runs.
    pub async fn deployment(&self, name: &str, replicas: i32) -> Result<()> {
        self.workload("Deployment", name, replicas).await
    }

    /// Creates a StatefulSet whose pods kwok runs.
    pub async fn stateful_set(&self, name: &str, replicas: i32) -> Result<()> {
        self.workload("StatefulSet", name, replicas).await
    }

    async fn workload(&self, kind: &str, name: &str, replicas: i32) -> Result<()> {
        self.kubectl_with(&["create", "--filename=-"], &manifest(kind, name, replicas)).await.map(drop)
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
        // etcd's JSON leaves a 0 out.
        Ok(self.get(object).await?.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0))
    }

    /// Waits until an object's count is this.
    pub async fn reaches(&self, object: &str, replicas: i64) -> Result<()> {
        wait::until(&format!("{object} at {replicas} replicas"), PATIENCE, async || {
            let now = self.replicas(object).await?;
            ensure!(now == replicas, "it has {now}");
            Ok(())
        })
        .await
    }

    /// Waits until the ReplicaCount of `deployment.web`, say, passes a check, and returns it.
    pub async fn count(&self, name: &str, what: &str, check: impl Fn(&Value) -> bool) -> Result<Value> {
        let object = format!("replicacount/{name}");
        wait::until(what, PATIENCE, async || {
            let count = self.get(&object).await?;
            ensure!(check(&count), "it is {count}");
            Ok(count)
        })
        .await
    }

    /// Waits until so many drifts of a target are known and the last is corrected, and returns the status.
    pub async fn drifts(&self, name: &str, drifts: i64) -> Result<Value> {
        let corrected = |count: &Value| {
            count.pointer("/status/drifts") == Some(&drifts.into())
                && count.pointer("/status/lastDrift/correctedAt").is_some()
                && count.pointer("/status/observed") == count.pointer("/status/desired")
        };
        let count = self.count(name, &format!("{drifts} corrected drifts of {name}"), corrected).await?;
        Ok(count["status"].clone())
    }

    /// Waits until the server knows that a Deployment is not managed.
    pub async fn forgotten(&self, name: &str) -> Result<()> {
        let request = serde_json::json!({"Namespace": self.name, "Name": name});
        wait::until("the server to know that it is not managed", PATIENCE, async || {
            let refusal = self.world.grpcurl("proto.DeploymentsService/GetDeployment", &request).await.err();
            let message = refusal.map(|refusal| refusal.message).unwrap_or_default();
            ensure!(message.contains("is not managed: it has no ReplicaCount"), "{message}");
            Ok(())
        })
        .await
    }

    /// Sets a Deployment's count through the seed-compatible service.
    pub async fn set(&self, name: &str, replicas: i32) -> Result<Value> {
        let request = serde_json::json!({"Namespace": self.name, "Name": name, "Replicas": replicas});
        Ok(self.world.grpcurl("proto.DeploymentsService/SetDeployment", &request).await?)
    }
}

/// So many names that begin alike.
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}-{index}")).collect()
}

/// One manifest of an object for each name.
pub fn all(names: &[String], manifest: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| manifest(name) + "---\n").collect()
}

/// Waits for the Event of a namespace about an object of a kind, by its reason and a part of its note.
pub async fn event(cluster: &Cluster, namespace: &str, kind: &str, reason: &str, note: &str) -> Result<()> {
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

/// The status and the reason of a condition of an object.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((condition["status"].as_str()?, condition["reason"].as_str()?))
}

/// A workload with an image that nobody needs: kwok only plays its pods.
pub fn manifest(kind: &str, name: &str, replicas: i32) -> String {
    let service = if kind == "StatefulSet" { format!("serviceName: {name}") } else { String::new() };
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  replicas: {replicas}
  {service}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: example}}]}}
"
    )
}

/// A Deployment that gets no pods, for tests that change its count many times.
pub fn without_pods(name: &str, replicas: i32) -> String {
    manifest("Deployment", name, replicas).replacen("spec:", "spec:\n  paused: true", 1)
}

/// The ReplicaCount of a Deployment.
pub fn replica_count(name: &str, replicas: i32) -> String {
    format!(
        "apiVersion: replica-count-manager.io/v1
kind: ReplicaCount
metadata: {{name: deployment.{name}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
  replicas: {replicas}
"
    )
}
