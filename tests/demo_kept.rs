//! `make demo KEEP=1`: the cluster stays, and its pods go on being run.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use tokio::process::Command;

use support::{PATIENCE, release};

/// The lines of the demo's output that set variables, and the path of its script that ends the cluster.
fn usage(output: &str) -> Result<(BTreeMap<String, String>, String)> {
    let exports = output.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    let variables = exports.map(|(name, value)| (name.to_owned(), value.replace(":$PATH", ""))).collect();
    Ok((variables, output.lines().last().context("no output")?.to_owned()))
}

#[tokio::test]
#[ignore = "it starts another control plane: make stress"]
async fn a_kept_demo_can_be_upgraded_and_replaces_its_pods() -> Result<()> {
    let mut demo = Command::new(release::program("demo")?);
    let output = run(demo.env("KEEP", "1").stdin(Stdio::null())).await?;
    let (variables, stop) = usage(&output)?;
    let kept = check(&output, &variables).await;
    run(&mut Command::new(&stop)).await?;
    kept?;
    wait::until("the end of the cluster", PATIENCE, async || {
        let folder = Path::new(&stop).parent().context("no folder")?;
        ensure!(!folder.exists(), "{} is there", folder.display());
        Ok(())
    })
    .await
}

async fn check(output: &str, variables: &BTreeMap<String, String>) -> Result<()> {
    let folder = output.lines().find_map(|line| line.strip_prefix("cd ")).context("no folder")?;
    let path = format!("{}:{}", variables["PATH"], std::env::var("PATH")?);
    let shell = async |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(folder).envs(variables).env("PATH", &path);
        run(&mut shell).await
    };
    for part in [
        "$ kubectl replicas login",
        "$ kubectl replicas config export",
        "$ helm upgrade --install",
        "-proto proto/deployments.proto",
    ] {
        ensure!(output.contains(part), "{part:?} is missing in {output}");
    }
    shell("kubectl delete pods --all --namespace replica-count-manager --wait=false").await?;
    let helm = output.lines().find_map(|line| line.strip_prefix("$ ").filter(|line| line.starts_with("helm")));
    shell(&format!("{} --set logLevel=debug", helm.context("no helm")?.replace(">/dev/null", ""))).await?;
    let ready = async || {
        let list = shell("kubectl get pods --namespace replica-count-manager --output=jsonpath='{.items[*].status.containerStatuses[*].ready}'").await?;
        ensure!(list == "true true", "{list}");
        shell("kubectl replicas list").await
    };
    let list = wait::until("two new pods", PATIENCE, ready).await?;
    ensure!(list.contains("deployment.apps/web"), "{list}");
    Ok(())
}
