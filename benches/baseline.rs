//! The baseline of the benchmarks: a process that only watches Deployments, in protobuf like the server, and patches
//! counts.

use std::{env, path::Path, pin::pin, process::Stdio};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use replica_count_manager::{
    enforcement::writes::scale,
    index::protobuf,
    resources::{Target, TargetKind, key_of},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::{bench_cluster, deployments::REPLICAS};

/// The argument that makes this program run the baseline.
pub(crate) const ARGUMENT: &str = "baseline";

/// The timeout of the watch. It is longer than a round, and no longer than the API server allows the server's watches.
const WATCH_SECONDS: u32 = 290;

/// Starts the baseline, and returns when its watch is open. The process ends with this value.
pub(crate) async fn start(kubeconfig: &Path) -> Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    let mut child = command.arg(ARGUMENT).arg(kubeconfig).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    BufReader::new(stdout).lines().next_line().await?.context("the baseline ended")?;
    Ok(child)
}

/// Restores every Deployment's count, until the process is killed.
pub(crate) async fn run(kubeconfig: &Path) -> Result<()> {
    let client = bench_cluster::client(kubeconfig).await?;
    let kind = TargetKind::apps()[0].clone();
    let api: Api<Target> = Api::all_with(protobuf::client(client.clone()), &kind);
    let version = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    println!("ready");
    let mut patches = JoinSet::new();
    let mut events = pin!(api.watch(&WatchParams::default().timeout(WATCH_SECONDS), &version).await?);
    while let Some(event) = events.try_next().await? {
        let WatchEvent::Modified(Target { metadata, state }) = event else { continue };
        if state.replicas == Some(REPLICAS) {
            continue;
        }
        let key = key_of(&metadata, &kind.group_kind).context("a Deployment without a name")?;
        let (client, kind) = (client.clone(), kind.clone());
        patches.spawn(async move { scale::patch(&client, &key, &kind, REPLICAS).await });
        while let Some(patched) = patches.try_join_next() {
            patched??;
        }
    }
    Ok(())
}
