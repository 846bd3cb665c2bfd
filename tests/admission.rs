//! Admission: the webhooks name who changes a count, warn, and keep counts that are held. They are never in the way.
//!
//! The API server calls them by their Service, through the egress proxy of the tests' kubelet.

mod argo_cd;
mod autoscaler;
mod changes;
mod forged;
mod guard;
mod hostile_writes;
mod kinds;
mod modes;
mod names;
mod never_in_the_way;
mod recorder;
mod rights;
mod texts;
mod ways;

use std::sync::{Arc, Weak};

use anyhow::Result;
use cluster::{Component, Options};
use support::{TestCluster, admission, callers};
use tokio::sync::Mutex;

/// How often autoscalers act, in these clusters. The default is 15 s.
const AUTOSCALER_PERIOD: &str = "--horizontal-pod-autoscaler-sync-period=1s";

/// The user name of the controller of autoscalers.
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

/// Starts a cluster with webhooks in a mode, logs in JSON, quick autoscalers and a group of editors.
async fn start(mode: &str, flags: &[&str]) -> Result<TestCluster> {
    let options =
        Options { flags: vec![(Component::ControllerManager, AUTOSCALER_PERIOD.to_owned())], ..Options::default() };
    let cluster = admission::start(options, mode, &[&["--set=logFormat=json"], flags].concat()).await?;
    callers::create_editors(&cluster).await?;
    Ok(cluster)
}

/// A cluster that tests share while any of them runs. It is busy with autoscalers and probes, so it does not outlive them.
type SharedCluster = Mutex<Weak<TestCluster>>;

async fn shared(cluster: &SharedCluster, mode: &str, flags: &[&str]) -> Result<Arc<TestCluster>> {
    let mut cluster = cluster.lock().await;
    if let Some(running) = cluster.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(start(mode, flags).await?);
    *cluster = Arc::downgrade(&started);
    Ok(started)
}

/// The cluster of the tests about the mode `record`.
pub(crate) async fn recording_cluster() -> Result<Arc<TestCluster>> {
    static CLUSTER: SharedCluster = Mutex::const_new(Weak::new());
    shared(&CLUSTER, "record", &[]).await
}

/// The cluster of the tests about the mode `guard`.
pub(crate) async fn guarded_cluster() -> Result<Arc<TestCluster>> {
    static CLUSTER: SharedCluster = Mutex::const_new(Weak::new());
    shared(&CLUSTER, "guard", &[kinds::TARGETS]).await
}
