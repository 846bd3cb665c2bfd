//! The plugin, installed by krew.

use std::fs;

use anyhow::Result;
use cluster::run;

use support::shared_cluster;

#[tokio::test]
async fn krew_installs_the_plugin_from_its_archive_and_kubectl_runs_it() -> Result<()> {
    let cluster = shared_cluster().await?;
    let dist = cluster.folder().join("dist");
    let script = |name: &str| {
        let mut script = cluster.command(format!("{}/krew/{name}", support::ROOT));
        // The scripts ask cargo for the version, and cargo needs the user's own toolchain.
        script.env("DIST", &dist).env("HOME", std::env::var_os("HOME").unwrap_or_default());
        script
    };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    run(script("archive").args(["linux", machine]).arg(support::release::program("kubectl-replicas")?)).await?;
    let archive = dist.join(format!("kubectl-replicas-linux-{machine}.tar.gz"));
    let manifest = dist.join("replicas.yaml");
    fs::write(&manifest, run(script("manifest").arg(&archive)).await?)?;

    let mut krew = cluster.command("krew");
    krew.arg("install").arg("--manifest").arg(&manifest).arg("--archive").arg(&archive);
    run(&mut krew).await?;
    let version = run(cluster.kubectl().args(["replicas", "version", "--client"])).await?;
    assert_eq!(version.trim(), concat!("Client Version: v", env!("CARGO_PKG_VERSION")));
    let plugins = run(cluster.kubectl().args(["plugin", "list"])).await?;
    assert!(plugins.contains("krew/bin/kubectl-replicas"), "{plugins}");
    Ok(())
}
