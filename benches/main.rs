//! `make bench`: measures the programs on a real control plane, and compares them with baselines.

mod admission;
mod baseline;
mod bench_cluster;
mod burst;
mod calls;
mod deployments;
mod drift;
mod histories;
mod machine;
mod observer;
mod plot;
mod plugin;
mod reads;
mod report;
mod sets;
mod size;
mod stats;

use std::{env, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};

use report::Section;

/// The timeout of every wait. It is longer than the server takes to write the statuses of 10,000 drifts.
const PATIENCE: Duration = Duration::from_secs(300);

/// Concurrent callers: as many as the server has concurrent corrections.
const CALLERS: usize = 64;

const SECTIONS: [&str; 7] = ["drift", "burst", "sets", "reads", "size", "plugin", "admission"];

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // Cargo adds the flag `--bench`.
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if words.first().is_some_and(|word| word == baseline::ARGUMENT) {
        let kubeconfig = words.get(1).context("no kubeconfig")?;
        return baseline::run(Path::new(kubeconfig)).await.map(|()| ExitCode::SUCCESS);
    }
    let names: Vec<&str> = if words.is_empty() { SECTIONS.into() } else { words.iter().map(String::as_str).collect() };
    let mut sections = Vec::new();
    for name in &names {
        let section = measure(name).await.with_context(|| format!("failed to measure {name}"))?;
        println!("\n{}", section.markdown());
        sections.push(section);
    }
    if words.is_empty() {
        report::save(&SECTIONS, &sections).await?;
        println!("saved in docs/benchmarks.md");
    }
    Ok(if sections.iter().all(Section::is_kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(name: &str) -> Result<Section> {
    match name {
        "drift" => drift::run().await,
        "burst" => burst::run().await,
        "sets" => sets::run().await,
        "reads" => reads::run().await,
        "size" => size::run().await,
        "plugin" => plugin::run().await,
        "admission" => admission::run().await,
        _ => bail!("there is no section {name}: they are {}", SECTIONS.join(", ")),
    }
}
