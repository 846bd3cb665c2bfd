//! The transcripts of the documentation, `docs/recordings/*.txt`: each command is run, and must answer as it did.
//!
//! `make recording` writes them anew, with the pictures.

use std::{env, fs};

use anyhow::{Result, ensure};
use cluster::run;

use support::{Namespace, ROOT, User, application::HelmUpgrade};

use crate::{
    login::shared_cluster,
    transcript::{Shell, general},
};

/// Runs the commands of a transcript, and compares their output with it.
async fn replay(shell: &Shell<'_>, name: &str) -> Result<()> {
    let path = format!("{ROOT}/docs/recordings/{name}.txt");
    let recorded = fs::read_to_string(&path)?;
    let mut transcript = String::new();
    for line in recorded.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let shown = shell.show(command).await?;
            ensure!(!shown.lines().last().is_some_and(|line| line.starts_with('(')), "it failed: {shown}");
            transcript += &shown;
        } else if let Some(preparation) = line.strip_prefix("#~ ") {
            run(&mut shell.command(preparation)).await?;
            transcript += &format!("{line}\n");
        } else if line.starts_with("# ") {
            transcript += &format!("\n{line}\n");
        }
    }
    let transcript = transcript.trim_start();
    if env::var_os("UPDATE_TRANSCRIPT").is_some() {
        fs::write(&path, transcript)?;
        return Ok(());
    }
    ensure!(general(transcript) == general(&recorded), "{name} is another now:\n{transcript}");
    Ok(())
}

/// A user who has not logged in, and a namespace with two Deployments and a StatefulSet. The transcripts call it `shop`,
/// so its name has four letters, too: columns keep their widths.
async fn newcomer(name: &str, namespace: &str) -> Result<Shell<'static>> {
    let cluster = shared_cluster().await?;
    run(cluster.kubectl().args(["create", "namespace", namespace])).await?;
    let shop = Namespace { name: namespace.to_owned(), cluster };
    for name in ["api", "web"] {
        shop.deployment(name, 2).await?;
    }
    shop.stateful_set("db", 1).await?;
    let user = User::new(cluster, name)?;
    user.grant_connect().await?;
    user.grant_login().await?;
    user.grant_edit(&shop.name).await?;
    let shell = Shell { user, shop };
    let namespace = format!("kubectl config set-context --current --namespace={}", shell.shop.name);
    run(&mut shell.command(&namespace)).await?;
    Ok(shell)
}

#[tokio::test]
async fn a_first_day() -> Result<()> {
    replay(&newcomer("alice", "shop").await?, "first-day").await
}

#[tokio::test]
async fn an_incident() -> Result<()> {
    let shell = newcomer("bob", "cart").await?;
    let helm = || shell.shop.cluster.helm();
    HelmUpgrade::to(helm(), "first").replicas(2).flag("--take-ownership").run(&shell.shop).await?;
    for line in ["login", "set --current api sts/db", "set web 6 --reason=traffic"] {
        run(&mut shell.command(&format!("kubectl replicas {line}"))).await?;
    }
    for drifts in 1..=2 {
        HelmUpgrade::to(helm(), "next").replicas(2 + drifts).run(&shell.shop).await?;
        shell.shop.wait_for_drifts("deployment.web", drifts.into()).await?;
    }
    replay(&shell, "incident").await
}
