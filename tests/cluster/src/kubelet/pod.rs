//! Runs one pod from its binding to its deletion.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::container::Running;
use super::context::{Context, Key};
use super::running::Entry;
use super::source::Source;
use super::status::Observed;
use super::{forward, planner, volumes};

/// The interval for comparing volumes with their sources, and for repeating a failed step.
const PERIOD: Duration = Duration::from_secs(1);

/// The timeout of a step. A call to a hanging API server must not block a pod after the API server answers again.
const STEP: Duration = Duration::from_secs(10);

const DEFAULT_GRACE: i64 = 30;

/// A pod that this kubelet runs.
pub(super) struct Task {
    context: Arc<Context>,
    key: Key,
    changed: Arc<Notify>,
    source: Source,
    folder: PathBuf,
    /// An address in the format of a pod's address, because Kubernetes refuses loopback addresses in endpoints.
    address: String,
    ports: BTreeMap<u16, u16>,
    containers: Arc<Vec<Running>>,
    published: Value,
}

impl Task {
    /// Creates the task of a pod. The caller notifies `changed` when the pod may have changed.
    pub(super) fn new(context: Arc<Context>, pod: Pod, changed: Arc<Notify>) -> Self {
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        let folder = context.files.pods().join(format!("{}_{}_{}", key.0, key.1, pod.uid().unwrap_or_default()));
        let address = context.next_address();
        Self {
            source: Source::new(context.client.clone(), pod, address.clone()),
            address,
            context,
            key,
            changed,
            folder,
            ports: BTreeMap::new(),
            containers: Arc::default(),
            published: Value::Null,
        }
    }

    /// Runs the pod until it is deleted.
    pub(super) async fn run(mut self) {
        loop {
            match timeout(STEP, self.step()).await {
                Ok(Ok(true)) => break,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => self.log(&error),
                Err(elapsed) => self.log(&elapsed.into()),
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep(PERIOD) => {}
            }
        }
        if let Err(error) = self.clean_up().await {
            self.log(&error);
        }
    }

    /// Brings the pod closer to its spec. Returns whether the pod is deleted.
    async fn step(&mut self) -> Result<bool> {
        let pods: Api<Pod> = self.source.api();
        let pod = pods.get_opt(&self.key.1).await?.filter(|pod| pod.metadata.uid == self.source.pod.metadata.uid);
        let Some(pod) = pod else {
            return Ok(true);
        };
        self.source.pod = pod;
        if self.spec()?.node_name.is_none() {
            return Ok(false);
        }
        if self.source.pod.metadata.deletion_timestamp.is_some() {
            self.terminate(&pods).await
        } else {
            let obstacle = self.update().await.err();
            self.publish(&pods, obstacle).await?;
            Ok(false)
        }
    }

    /// Updates the volumes, and starts the containers once their sources exist.
    async fn update(&mut self) -> Result<()> {
        let refreshed = volumes::refresh(&mut self.source, &planner::volumes(&self.folder)).await;
        if self.containers.is_empty() {
            refreshed?;
            return self.launch().await;
        }
        // Running containers keep their volumes.
        if let Err(error) = refreshed {
            self.log(&error);
        }
        Ok(())
    }

    async fn launch(&mut self) -> Result<()> {
        if self.ports.is_empty() {
            self.ports = planner::host_ports(self.spec()?)?;
        }
        forward::publish(&self.source, &self.ports).await?;
        let plans = planner::plans(&self.context, &self.source, &self.folder, &self.ports).await?;
        let grace = self.grace(None);
        let start = |plan| Running::start(plan, grace, self.changed.clone());
        self.containers = Arc::new(plans.into_iter().map(start).collect());
        let address = self.address.parse()?;
        let entry = Entry { address, ports: self.addresses()?, containers: self.containers.clone() };
        self.context.registry.lock().insert(self.key.clone(), entry);
        Ok(())
    }

    /// Ends the containers, and deletes the pod once they have ended.
    async fn terminate(&mut self, pods: &Api<Pod>) -> Result<bool> {
        let grace = self.grace(self.source.pod.metadata.deletion_grace_period_seconds);
        for container in self.containers.iter() {
            container.stop(grace);
        }
        if !self.containers.iter().all(Running::has_ended) {
            self.publish(pods, None).await?;
            return Ok(false);
        }
        let preconditions = Preconditions { uid: self.source.pod.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        pods.delete(&self.key.1, &parameters.grace_period(0)).await.context("failed to delete the pod")?;
        Ok(true)
    }

    async fn publish(&mut self, pods: &Api<Pod>, obstacle: Option<anyhow::Error>) -> Result<()> {
        let obstacle = obstacle.map(|error| format!("{error:#}"));
        let pod = &self.source.pod;
        let observed = Observed { pod, address: &self.address, containers: &self.containers, obstacle };
        let patch = observed.patch();
        if patch != self.published {
            let parameters = PatchParams::apply("kubelet");
            pods.patch_status(&self.key.1, &parameters, &Patch::Strategic(&patch)).await?;
            self.published = patch;
        }
        Ok(())
    }

    /// Removes everything of the pod except its logs. Its processes may still run if the deletion was forced.
    async fn clean_up(&mut self) -> Result<()> {
        for container in self.containers.iter() {
            container.stop(Duration::ZERO);
        }
        while !self.containers.iter().all(Running::has_ended) {
            self.changed.notified().await;
        }
        let mut registry = self.context.registry.lock();
        // A new pod of a StatefulSet has the same name as the deleted one.
        if registry.get(&self.key).is_some_and(|entry| Arc::ptr_eq(&entry.containers, &self.containers)) {
            registry.remove(&self.key);
        }
        drop(registry);
        let volumes = planner::volumes(&self.folder);
        if volumes.exists() {
            fs::remove_dir_all(volumes)?;
        }
        Ok(())
    }

    fn spec(&self) -> Result<&PodSpec> {
        self.source.pod.spec.as_ref().context("the pod has no spec")
    }

    fn grace(&self, requested: Option<i64>) -> Duration {
        let spec = self.source.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = requested.or(spec).unwrap_or(DEFAULT_GRACE);
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
    }

    /// The address of each port of the pod, by the port's name and number.
    fn addresses(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let mut addresses = BTreeMap::new();
        for port in self.spec()?.containers.iter().flat_map(|container| container.ports.iter().flatten()) {
            let number = u16::try_from(port.container_port)?;
            let host = *self.ports.get(&number).context("a port has no counterpart")?;
            let address = SocketAddr::from(([127, 0, 0, 1], host));
            addresses.insert(number.to_string(), address);
            addresses.extend(port.name.clone().map(|name| (name, address)));
        }
        Ok(addresses)
    }

    fn log(&self, error: &anyhow::Error) {
        self.context.log(&format!("{}/{}: {error:#}", self.key.0, self.key.1));
    }
}
