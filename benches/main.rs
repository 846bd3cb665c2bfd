//! `make bench`: what the server achieves on a real control plane, beside what can be achieved there at all.

mod fleet;
#[expect(dead_code, reason = "what follows")]
#[path = "../tests/support/release.rs"]
mod release;
#[expect(dead_code, reason = "what follows")]
mod stage;

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use stage::Stage;

/// The end of every wait.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let deployments: usize = words.first().context("how many Deployments?")?.parse()?;
    let start = Instant::now();
    let stage = Stage::start().await?;
    println!("control plane up after {:.1?}", start.elapsed());
    let start = Instant::now();
    stage.fill(deployments, deployments / 10).await?;
    println!("{deployments} Deployments, {} ReplicaCounts after {:.1?}", deployments / 10, start.elapsed());
    let server = stage.server().await?;
    println!("ready after {:.1?}, memory now and at most: {:?}", server.ready_after, server.memory()?);
    server.end().await?;
    println!("export KUBECONFIG={}", stage.cluster.kubeconfig().display());
    println!("certificates in {}", stage.certificates.display());
    println!("to end it: {}", stage.cluster.detach()?.display());
    Ok(())
}
