//! A login that an administrator approves: the server signs only approved requests.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cluster::{Options, run};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr},
    time::timeout,
};

use support::{PATIENCE, RUN_PODS, TestCluster, User, release};

/// A login that waits for its approval.
struct Waiting {
    process: Child,
    stderr: BufReader<ChildStderr>,
    /// The name of its certificate request, from its output.
    request: String,
}

impl Waiting {
    async fn start(user: &User<'_>) -> Result<Self> {
        let mut login = user.plugin(&["login", "--timeout=0"]);
        let mut process = login.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut stderr = BufReader::new(process.stderr.take().context("no standard error")?);
        let mut line = String::new();
        timeout(PATIENCE, stderr.read_line(&mut line)).await??;
        let request = line.strip_prefix("waiting for approval: kubectl certificate approve ").context(line.clone())?;
        Ok(Self { process, stderr, request: request.trim().to_owned() })
    }

    /// Waits for its end, and returns whether it succeeded, its standard output and its standard error.
    async fn end(mut self) -> Result<(bool, String, String)> {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let end = async {
            self.process.stdout.take().context("no standard output")?.read_to_string(&mut stdout).await?;
            self.stderr.read_to_string(&mut stderr).await?;
            anyhow::Ok(self.process.wait().await?.success())
        };
        let success = timeout(PATIENCE, end).await??;
        Ok((success, stdout, stderr))
    }
}

#[tokio::test]
async fn a_login_waits_for_the_decision_of_an_administrator() -> Result<()> {
    let cluster = TestCluster::without_server(Options::default()).await?;
    cluster.install_managed(&["--set=certificates.clients.autoApprove=false"]).await?;
    let alice = User::new(&cluster, "alice")?;
    alice.grant_connect().await?;
    alice.grant_login().await?;

    // The login times out without a decision.
    let outcome = alice.try_run(&["login", "--timeout=1s"]).await?;
    ensure!(outcome.code == Some(4) && outcome.stdout.is_empty(), "{outcome:?}");
    for part in ["error: the request replica-count-manager-", " was not signed within 1s", "log in again", "--timeout"]
    {
        ensure!(outcome.stderr.contains(part), "{part:?} is missing in {}", outcome.stderr);
    }

    // Ctrl-C ends it.
    let interrupted = Waiting::start(&alice).await?;
    let pid = interrupted.process.id().context("it has ended")?.to_string();
    run(cluster.command("kill").args(["-INT", &pid])).await?;
    let (success, stdout, stderr) = interrupted.end().await?;
    ensure!(!success && stdout.is_empty(), "{stdout}{stderr}");
    ensure!(stderr == "error: interrupted: no certificate was stored\n" && !alice.config.exists(), "{stderr}");

    let denied = Waiting::start(&alice).await?;
    run(cluster.kubectl().args(["certificate", "deny", &denied.request])).await?;
    let name = denied.request.clone();
    let (success, stdout, stderr) = denied.end().await?;
    ensure!(!success && stdout.is_empty(), "{stdout}{stderr}");
    let refusal =
        format!("error: the request {name} was refused: This CSR was denied by kubectl certificate deny.\nhint: ");
    ensure!(stderr.starts_with(&refusal), "{stderr}");
    ensure!(!alice.config.exists(), "something was stored");

    let approved = Waiting::start(&alice).await?;
    run(cluster.kubectl().args(["certificate", "approve", &approved.request])).await?;
    let (success, stdout, stderr) = approved.end().await?;
    ensure!(success && stdout.contains(" as alice until ") && stderr.is_empty(), "{stdout}{stderr}");
    ensure!(alice.run(&["whoami"]).await?.starts_with("User:    alice\n"), "whoami");

    // If the server does not sign certificates, the login creates no request.
    let mut helm = cluster.helm();
    helm.args([
        "upgrade",
        release::NAME,
        release::CHART,
        "--namespace",
        release::NAME,
        RUN_PODS,
        "--wait",
        "--timeout=2m",
    ]);
    run(helm.arg("--set=certificates.clients.enabled=false")).await?;
    let outcome = alice.try_run(&["login"]).await?;
    ensure!(outcome.code == Some(3), "{outcome:?}");
    for part in ["does not sign certificates", "kubectl replicas config import"] {
        ensure!(outcome.stderr.contains(part), "{part:?} is missing in {}", outcome.stderr);
    }
    Ok(())
}
