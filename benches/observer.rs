//! A watch that records the counts of Deployments with their times.

use std::{collections::HashMap, future, pin::pin, sync::Arc, time::Instant};

use anyhow::{Context, Result, anyhow, ensure};
use cluster::wait;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event, watcher},
};
use parking_lot::Mutex;
use replica_count_manager::{
    index::protobuf,
    resources::{Target, TargetKind},
};
use serde_json::json;
use tokio::task::AbortHandle;

use crate::{
    PATIENCE,
    deployments::{self, REPLICAS},
};

/// The field managers that change counts, in turn. Three drifts by the same one would make a target contested.
const ACTORS: [&str; 5] = ["kubectl", "helm", "argocd-controller", "flux", "pipeline"];

/// A drift that the API server has stored.
pub(crate) struct Drift {
    name: String,
    version: u64,
    /// The time of the API server's answer.
    pub(crate) at: Instant,
}

impl Drift {
    /// Changes the count of a Deployment by its index.
    pub(crate) async fn write(client: Client, index: usize, replicas: i32) -> Result<Self> {
        let api: Api<Deployment> = Api::namespaced(client, &deployments::namespace(index));
        let name = deployments::name(index);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let actor = ACTORS[(index + replicas as usize) % ACTORS.len()];
        let scale = api.patch_scale(&name, &PatchParams::apply(actor), &patch).await?;
        let at = Instant::now();
        let version = scale.metadata.resource_version.context("no resource version")?.parse()?;
        Ok(Self { name, version, at })
    }
}

/// One state of one Deployment.
struct ObservedState {
    version: u64,
    replicas: i32,
    /// Whether this server is among the owners of the count.
    ours: bool,
    at: Instant,
}

type Log = Arc<Mutex<HashMap<String, Vec<ObservedState>>>>;

/// A watch of every Deployment. It ends with this value.
pub(crate) struct Observer {
    log: Log,
    watch: AbortHandle,
}

impl Observer {
    /// Starts to watch, and waits until a number of Deployments are known.
    pub(crate) async fn start(client: Client, deployments: usize) -> Result<Self> {
        let log = Log::default();
        // In protobuf, as Kubernetes' own controllers watch.
        let api = Api::all_with(protobuf::client(client), &TargetKind::apps()[0]);
        let watch = tokio::spawn(watch_loop(api, log.clone())).abort_handle();
        let observer = Self { log, watch };
        wait::until("the observer", PATIENCE, async || {
            let known = observer.log.lock().len();
            ensure!(known >= deployments, "it knows {known}");
            Ok(())
        })
        .await?;
        Ok(observer)
    }

    /// Waits until every drift is corrected, and returns the times at which the corrections were seen.
    pub(crate) async fn wait_for_corrections(&self, drifts: &[Drift]) -> Result<Vec<Instant>> {
        let mut corrections = Vec::with_capacity(drifts.len());
        wait::until("every drift to be put back", PATIENCE, || {
            let log = self.log.lock();
            // Each attempt continues at the first missing correction. Checking all drifts each time would slow down the
            // programs that are measured.
            while let Some(drift) = drifts.get(corrections.len()) {
                let Some(at) = correction(&log, drift) else {
                    let problem = anyhow!("{} of {} are", corrections.len(), drifts.len());
                    return future::ready(Err(problem));
                };
                corrections.push(at);
            }
            future::ready(Ok(()))
        })
        .await?;
        Ok(corrections)
    }

    /// Waits until a number of Deployments have this count, and the server does not own it: no correction is missing,
    /// and all ownership is given back.
    pub(crate) async fn wait_until_settled(&self, number: usize, replicas: i32) -> Result<()> {
        wait::until("every count to be given back", PATIENCE, async || {
            let log = self.log.lock();
            let last = |index| log.get(&deployments::name(index)).and_then(|seen| seen.last());
            let settled = |index: &usize| last(*index).is_some_and(|seen| seen.replicas == replicas && !seen.ours);
            let settled = (0..number).filter(settled).count();
            ensure!(settled == number, "{settled} of {number} are");
            Ok(())
        })
        .await
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn correction(log: &HashMap<String, Vec<ObservedState>>, drift: &Drift) -> Option<Instant> {
    let later = |seen: &&ObservedState| seen.version > drift.version && seen.replicas == REPLICAS;
    log.get(&drift.name)?.iter().find(later).map(|seen| seen.at)
}

async fn watch_loop(api: Api<Target>, log: Log) {
    let mut events = pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(deployment) | Event::InitApply(deployment)) = event else { continue };
        let at = Instant::now();
        let Target { metadata, state } = deployment;
        let (version, replicas) = (state.resource_version, state.replicas.unwrap_or_default());
        let seen = ObservedState { version, replicas, ours: state.owners.ours(), at };
        let mut log = log.lock();
        log.entry(metadata.name.unwrap_or_default()).or_default().push(seen);
    }
}
