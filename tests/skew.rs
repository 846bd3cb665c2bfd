//! Each program with the other one of another version. `make skew` builds that version in `target/skew`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run};
use tokio::process::Command;

use support::{Namespace, ROOT, TestCluster, outcome, release};

/// What the plugin is asked, in this order. Together they make every call of `replicas.v1.ReplicasService`.
const COMMANDS: [&str; 20] = [
    "version",
    "whoami",
    "doctor",
    "set web 3 --reason skew --wait",
    "set web +1",
    "set web 5 --for 1h --reason sale",
    "get web",
    "get web -o yaml",
    "list",
    "list --all-targets -o wide",
    "list -o json",
    "wait web",
    "history web",
    "blame",
    "explain web",
    "export",
    "undo --yes",
    "adopt --yes",
    "unset sts/db --restore",
    "unset web",
];

/// The folder of the other version.
fn other() -> PathBuf {
    Path::new(ROOT).join("target/skew")
}

/// Runs every command, and says which failed without naming the version that is needed.
async fn call_everything(cluster: &TestCluster, plugin: &Path) -> Result<()> {
    let shop = Namespace::new(cluster, "skew").await?;
    shop.deployment("web", 3).await?;
    shop.stateful_set("db", 1).await?;
    let mut failures = Vec::new();
    for line in COMMANDS {
        let done = outcome(&mut command(cluster, plugin, &shop, line)).await?;
        println!("{line}: {:?}", done.code);
        if done.code != Some(0) && !done.stderr.contains("as new as this plugin") {
            failures.push(format!("{line}: {done:?}"));
        }
    }
    ensure!(failures.is_empty(), "these commands neither work nor say which version is needed: {failures:#?}");
    let left = outcome(&mut command(cluster, plugin, &shop, "list -o json")).await?;
    ensure!(!left.stdout.contains("\"web\""), "web is still managed: {}", left.stdout);
    Ok(())
}

/// `kubectl replicas` of a folder, in a namespace.
fn command(cluster: &TestCluster, plugin: &Path, shop: &Namespace<'_>, line: &str) -> Command {
    let mut path = plugin.as_os_str().to_owned();
    path.push(":");
    path.push(cluster.control_plane.path());
    let mut command = cluster.plugin();
    command.env("PATH", path).args(line.split(' ')).args(["--namespace", &shop.name]);
    command
}

#[tokio::test]
#[ignore = "it needs the programs of another version: make skew"]
async fn the_plugin_of_another_version_works_with_this_server() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    call_everything(&cluster, &other().join("programs/debug")).await
}

#[tokio::test]
#[ignore = "it needs the programs of another version: make skew"]
async fn this_plugin_works_with_the_server_of_another_version() -> Result<()> {
    let server = other().join("programs/debug/replica-count-manager");
    let chart = other().join("source/charts/replica-count-manager");
    let cluster = TestCluster::start_release(Options::default(), &server, &chart, &[]).await?;
    // In the chart of an older version, the role for admins does not allow to list targets.
    let view = ["create", "clusterrolebinding", "admins-view", "--clusterrole=view"];
    run(cluster.kubectl().args(view).arg(format!("--group={}", contract::names::ADMINS))).await?;
    let plugin = release::program("kubectl-replicas")?;
    call_everything(&cluster, plugin.parent().context("the plugin has no folder")?).await
}
