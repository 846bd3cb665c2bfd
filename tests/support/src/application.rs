//! An application that is deployed again and again: the Deployment `web`, whose pod template has a revision.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::Value;
use tokio::process::Command;

use crate::{constants::PATIENCE, manifests::Workload, namespace::Namespace};

/// An upgrade of a Helm release with the Deployment `web`. It installs the release if there is none.
pub struct HelmUpgrade {
    helm: Command,
    replicas: Option<i32>,
    revision: String,
    flags: Vec<String>,
}

impl HelmUpgrade {
    /// An upgrade to a revision by a prepared Helm. Its chart sets no count by default.
    pub fn to(helm: Command, revision: &str) -> Self {
        Self { helm, replicas: None, revision: revision.to_owned(), flags: Vec::new() }
    }

    /// Sets the count in the chart's values.
    #[must_use]
    pub const fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Adds a flag of `helm upgrade`.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Upgrades, and fails with Helm's output if Helm fails.
    pub async fn run(self, shop: &Namespace<'_>) -> Result<()> {
        let (success, output) = self.attempt(shop).await?;
        ensure!(success, "{output}");
        Ok(())
    }

    /// Upgrades, and returns whether Helm succeeded and what it printed.
    pub async fn attempt(mut self, shop: &Namespace<'_>) -> Result<(bool, String)> {
        self.helm.args(["upgrade", "--install", "app"]).arg(chart(shop)?).args(["--namespace", &shop.name]);
        self.helm.arg(format!("--set-string=revision={}", self.revision)).args(self.flags);
        if let Some(replicas) = self.replicas {
            self.helm.arg(format!("--set=replicas={replicas}"));
        }
        let output = self.helm.output().await?;
        Ok((output.status.success(), String::from_utf8([output.stdout, output.stderr].concat())?))
    }
}

/// Writes a chart of the Deployment, with the values `replicas` and `revision`, to a folder of the namespace's own.
fn chart(shop: &Namespace<'_>) -> Result<PathBuf> {
    let folder = shop.cluster.folder().join(format!("app-{}", shop.name));
    std::fs::create_dir_all(folder.join("templates"))?;
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: app\nversion: 0.1.0\n")?;
    let replicas = "{{ with .Values.replicas }}replicas: {{ . }}{{ end }}";
    let web = Workload::deployment("web").template(replicas, "{{ .Values.revision | quote }}");
    std::fs::write(folder.join("templates/web.yaml"), web.manifest())?;
    Ok(folder)
}

/// The state that a correction of the Deployment `web` should lead to.
pub struct Correction<'a> {
    /// The count that is held.
    pub replicas: i64,
    /// How many drifts the server has corrected so far.
    pub drifts: i64,
    /// The field manager that caused the last drift.
    pub manager: &'a str,
    /// The revision that the pod template keeps.
    pub revision: &'a str,
}

impl Correction<'_> {
    /// Waits until the server has corrected all the drifts, and checks the rest of the state.
    pub async fn wait_in(&self, shop: &Namespace<'_>) -> Result<()> {
        let status = shop.wait_for_drifts("deployment.web", self.drifts).await?;
        ensure!(status["lastDrift"]["manager"] == self.manager, "{status}");
        let web = shop.get("deployment/web").await?;
        ensure!(web["spec"]["replicas"] == self.replicas, "{}", web["spec"]["replicas"]);
        let found = web.pointer("/spec/template/metadata/annotations/revision").context("no revision")?;
        ensure!(*found == *self.revision, "the template is of revision {found}, not {}", self.revision);
        Ok(())
    }
}

/// The field managers that own the count of the Deployment `web`.
pub async fn count_owners(shop: &Namespace<'_>) -> Result<Vec<String>> {
    let web = shop.get("deployment/web").await?;
    let entries = web.pointer("/metadata/managedFields").and_then(Value::as_array).context("no managedFields")?;
    let owning = entries.iter().filter(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some());
    Ok(owning.filter_map(|entry| entry["manager"].as_str().map(str::to_owned)).collect())
}

/// Waits until one field manager alone owns the count of the Deployment `web`. The server gives the ownership back a
/// moment after its correction.
pub async fn wait_for_owner(shop: &Namespace<'_>, manager: &str) -> Result<()> {
    wait::until(&format!("the ownership with {manager}"), PATIENCE, async || {
        let owners = count_owners(shop).await?;
        ensure!(owners == [manager], "it is with {owners:?}");
        Ok(())
    })
    .await
}
