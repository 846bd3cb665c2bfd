//! The texts that users of kubectl, Helm and autoscalers see in each mode: `docs/admission-texts.md`.
//!
//! Each command of the page is run, and must answer as it did. `make recording` writes the answers anew.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};

use crate::{autoscalers::autoscaler_of, transcript::general};
use support::{
    Certificate, Namespace, PATIENCE, ROOT, TestCluster,
    application::{HelmUpgrade, wait_for_owner},
    callers, condition, connect,
    two_replicas::target,
};

/// The user who holds the counts, and the one who writes others.
const HOLDER: &str = "alice";
const WRITER: &str = "bob";

/// The count that is held.
const HELD: i32 = 3;

/// The page, while its sections are replayed.
pub(super) struct Page {
    recorded: String,
    replayed: String,
}

impl Page {
    const PATH: &str = "docs/admission-texts.md";

    pub(super) fn open() -> Result<Self> {
        let recorded = fs::read_to_string(format!("{ROOT}/{}", Self::PATH))?;
        let (head, _) = recorded.split_once("\n## ").context("the page has no section")?;
        Ok(Self { replayed: format!("{head}\n"), recorded })
    }

    /// Runs the commands of the next section, which must be about this mode.
    pub(super) async fn replay(&mut self, cluster: &TestCluster, mode: &str) -> Result<()> {
        let heading = format!("## `{mode}`\n");
        let (_, section) = self.recorded.split_once(&heading).with_context(|| format!("no section about {mode}"))?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let scene = Scene::new(cluster, mode).await?;
        if !self.replayed.ends_with("\n\n") {
            self.replayed.push('\n');
        }
        self.replayed += &heading;
        let mut is_code = false;
        for line in section.lines() {
            let is_fence = line.starts_with("```");
            is_code ^= is_fence;
            if let Some(command) = line.strip_prefix("$ ").filter(|_| is_code) {
                let shown = scene.show(command).await.with_context(|| format!("{mode}: {command}"))?;
                self.replayed += &format!("{line}\n{shown}");
            } else if !is_code || is_fence {
                self.replayed += &format!("{line}\n");
            }
        }
        Ok(())
    }

    /// Compares all answers with those on the page.
    pub(super) fn end(self) -> Result<()> {
        let Self { recorded, replayed } = self;
        if env::var_os("UPDATE_TRANSCRIPT").is_some() {
            return Ok(fs::write(format!("{ROOT}/{}", Self::PATH), replayed)?);
        }
        ensure!(comparable(&recorded) == comparable(&replayed), "{} is another now:\n{replayed}", Self::PATH);
        Ok(())
    }
}

/// The page without what differs from run to run. The columns of `kubectl describe` are as wide as the longest condition of
/// the version of Kubernetes, so their spaces are replaced.
fn comparable(text: &str) -> String {
    let columns = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = |line: &str| if line.starts_with("  AbleToScale ") { columns(line) } else { line.to_owned() };
    general(text).lines().map(|text| line(text) + "\n").collect()
}

/// A namespace with two Deployments that one user holds, and the shell of another user.
struct Scene<'a> {
    shop: Namespace<'a>,
    kubeconfig: PathBuf,
    folder: PathBuf,
}

impl<'a> Scene<'a> {
    async fn new(cluster: &'a TestCluster, mode: &str) -> Result<Self> {
        let shop = Namespace::new(cluster, "shop").await?;
        let kubeconfig = cluster.control_plane.kubeconfig_for(&format!("{WRITER}-{mode}"), None)?;
        // One file for each mode, and the same user in all of them.
        let user = cluster.control_plane.kubeconfig_for(WRITER, Some(callers::EDITORS))?;
        fs::copy(user, &kubeconfig)?;
        let namespace = format!("--namespace={}", shop.name);
        let mut set = cluster.kubectl();
        run(set.env("KUBECONFIG", &kubeconfig).args(["config", "set-context", "--current", &namespace])).await?;
        HelmUpgrade::to(cluster.helm(), "first").replicas(2).run(&shop).await?;
        shop.deployment("api", HELD).await?;
        for (name, reason) in [("web", "load test"), ("api", "incident 42")] {
            hold(&shop, name, reason).await?;
        }
        let folder = cluster.folder().join(format!("texts-{mode}"));
        fs::create_dir(&folder)?;
        // The chart of the upgrade above.
        symlink(cluster.folder().join(format!("app-{}", shop.name)), folder.join("app"))?;
        Ok(Self { shop, kubeconfig, folder })
    }

    /// Runs a line as soon as its target is at rest, and returns what a terminal would show.
    async fn show(&self, line: &str) -> Result<String> {
        if line.contains(" hpa ") {
            self.shop.kubectl_with(&["create", "--filename=-"], &autoscaler_of("api", 5)).await?;
            self.wait_for_autoscaler().await?;
        } else {
            self.shop.wait_for_replicas("deployment/web", HELD.into()).await?;
            wait_for_owner(&self.shop, "helm").await?;
        }
        let mut shell = self.shop.cluster.command("sh");
        shell
            .args(["-c", &format!("{{ {line}\n}} 2>&1")])
            .current_dir(&self.folder)
            .env("KUBECONFIG", &self.kubeconfig);
        let output = String::from_utf8(shell.output().await?.stdout)?;
        let output = output.replace(&self.shop.cluster.folder().display().to_string(), "FOLDER");
        let output = output.replace(&self.shop.name, "shop");
        Ok(output.lines().map(|line| format!("{}\n", without_time(line))).collect())
    }

    /// Waits until the autoscaler has tried to scale.
    async fn wait_for_autoscaler(&self) -> Result<()> {
        wait::until("the autoscaler", PATIENCE, async || {
            let autoscaler = self.shop.get("horizontalpodautoscaler/api").await?;
            let able = condition(&autoscaler, "AbleToScale").map(|(_, reason)| reason);
            ensure!(matches!(able, Some("SucceededRescale" | "FailedUpdateScale")), "{autoscaler}");
            Ok(())
        })
        .await
    }
}

/// A line of Helm's log without its time and process id, as in `I… warnings.go:107] "Warning: …"`.
fn without_time(line: &str) -> String {
    match line.find(" warnings.go:") {
        Some(start) if line.starts_with('I') => format!("I…{}", &line[start..]),
        _ => line.to_owned(),
    }
}

/// Holds the count of a Deployment as the holder.
async fn hold(shop: &Namespace<'_>, name: &str, reason: &str) -> Result<()> {
    let cluster = shop.cluster;
    let address = cluster.server().await?.process.address("grpc")?.to_string();
    let certificate = Certificate::of(cluster.certificates(), &format!("client-{HOLDER}"))?;
    let client = ReplicasServiceClient::new(connect(address, &certificate)?);
    let reason = reason.to_owned();
    let set = v1::SetReplicaCountRequest {
        target: target(shop, name),
        replicas: Some(HELD),
        reason,
        ..v1::SetReplicaCountRequest::default()
    };
    // The API server knows the holder's rights after a moment.
    wait::until("the Set", PATIENCE, async || Ok(client.clone().set_replica_count(set.clone()).await.map(drop)?))
        .await?;
    shop.wait_for_replicas(&format!("deployment/{name}"), HELD.into()).await
}

/// Gives the holder and the writer their rights, and the holder a certificate.
pub(super) async fn grant(cluster: &TestCluster) -> Result<()> {
    callers::create_editors(cluster).await?;
    cluster.certificate_of(HOLDER).await?;
    let user = format!("--user={HOLDER}");
    let bind = ["create", "clusterrolebinding", HOLDER, "--clusterrole=edit", &user];
    run(cluster.kubectl().args(bind)).await.map(drop)
}
