//! What a watcher sees of the counts of Deployments, and when.

use std::{
    collections::HashMap,
    future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use cluster::wait;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event, watcher},
};
use replica_count_manager::{
    index::protobuf,
    resources::{Target, TargetKind},
};
use serde_json::json;
use tokio::task::AbortHandle;

use crate::{
    PATIENCE,
    fleet::{self, REPLICAS},
};

/// Those who change counts, in turn: three drifts by one of them would be a fight.
const ACTORS: [&str; 5] = ["kubectl", "helm", "argocd-controller", "flux", "pipeline"];

/// A drift that the API server has stored.
pub(crate) struct Drift {
    name: String,
    version: u64,
    /// When its writer was told so.
    pub(crate) at: Instant,
}

impl Drift {
    /// Writes the count of a fleet's member.
    pub(crate) async fn write(client: Client, member: usize, replicas: i32) -> Result<Self> {
        let api: Api<Deployment> = Api::namespaced(client, &fleet::namespace(member));
        let name = fleet::name(member);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let actor = ACTORS[(member + replicas as usize) % ACTORS.len()];
        let scale = api.patch_scale(&name, &PatchParams::apply(actor), &patch).await?;
        let at = Instant::now();
        let version = scale.metadata.resource_version.context("no resource version")?.parse()?;
        Ok(Self { name, version, at })
    }
}

/// One state of one Deployment.
struct Seen {
    version: u64,
    replicas: i32,
    /// Whether this server is among the owners of the count.
    ours: bool,
    at: Instant,
}

type Log = Arc<Mutex<HashMap<String, Vec<Seen>>>>;

/// A watch of every Deployment, which ends with this value.
pub(crate) struct Observer {
    log: Log,
    watch: AbortHandle,
}

impl Observer {
    /// Starts to watch, and returns once so many Deployments are known.
    pub(crate) async fn start(client: Client, deployments: usize) -> Result<Self> {
        let log = Log::default();
        // As Kubernetes' own controllers watch: in protobuf.
        let api = Api::all_with(protobuf::client(client), &TargetKind::apps()[0]);
        let watch = tokio::spawn(follow(api, log.clone())).abort_handle();
        let observer = Self { log, watch };
        wait::until("the observer", PATIENCE, async || {
            let known = observer.log().len();
            ensure!(known >= deployments, "it knows {known}");
            Ok(())
        })
        .await?;
        Ok(observer)
    }

    /// Waits until every drift has been put back, and returns when each was seen to be.
    pub(crate) async fn corrections(&self, drifts: &[Drift]) -> Result<Vec<Instant>> {
        let mut corrections = Vec::with_capacity(drifts.len());
        wait::until("every drift to be put back", PATIENCE, || {
            let log = self.log();
            // Goes on where one is missing: looking at all of them each time would slow down what is measured.
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

    /// Waits until the count of every member of a fleet is this one and belongs to those who apply it: nothing remains to
    /// be put back, or given back.
    pub(crate) async fn settled(&self, members: usize, replicas: i32) -> Result<()> {
        wait::until("every count to be given back", PATIENCE, async || {
            let log = self.log();
            let last = |member| log.get(&fleet::name(member)).and_then(|seen| seen.last());
            let settled = |member: &usize| last(*member).is_some_and(|seen| seen.replicas == replicas && !seen.ours);
            let settled = (0..members).filter(settled).count();
            ensure!(settled == members, "{settled} of {members} are");
            Ok(())
        })
        .await
    }

    fn log(&self) -> MutexGuard<'_, HashMap<String, Vec<Seen>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn correction(log: &HashMap<String, Vec<Seen>>, drift: &Drift) -> Option<Instant> {
    let later = |seen: &&Seen| seen.version > drift.version && seen.replicas == REPLICAS;
    log.get(&drift.name)?.iter().find(later).map(|seen| seen.at)
}

async fn follow(api: Api<Target>, log: Log) {
    let mut events = pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(deployment) | Event::InitApply(deployment)) = event else { continue };
        let at = Instant::now();
        let Target { metadata, state } = deployment;
        let (version, replicas) = (state.resource_version, state.replicas.unwrap_or_default());
        let seen = Seen { version, replicas, ours: state.owners.ours(), at };
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.entry(metadata.name.unwrap_or_default()).or_default().push(seen);
    }
}
