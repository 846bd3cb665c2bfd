//! Somebody's application, as a chart and as manifests: a Deployment whose template has a revision.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::Value;
use tokio::process::Command;

use super::{Namespace, PATIENCE};

/// The manifest of the Deployment `web`; without a count if there is none.
pub fn manifest(replicas: Option<i32>, revision: &str) -> String {
    let replicas = replicas.map(|replicas| format!("replicas: {replicas}")).unwrap_or_default();
    deployment(&replicas, revision)
}

fn deployment(replicas: &str, revision: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}, annotations: {{revision: {revision:?}}}}}
    spec: {{containers: [{{name: main, image: example}}]}}
"
    )
}

/// A chart of that Deployment in a folder of its own, with the values `replicas` and `revision`.
pub fn chart(shop: &Namespace<'_>) -> Result<PathBuf> {
    let folder = shop.world.cluster.folder().join(format!("app-{}", shop.name));
    std::fs::create_dir_all(folder.join("templates"))?;
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: app\nversion: 0.1.0\n")?;
    let replicas = "{{ with .Values.replicas }}replicas: {{ . }}{{ end }}";
    let template = deployment(replicas, "REVISION").replace("\"REVISION\"", "{{ .Values.revision | quote }}");
    std::fs::write(folder.join("templates/web.yaml"), template)?;
    Ok(folder)
}

/// Installs or upgrades the chart with a Helm, and returns what it printed, whether it went through or not.
pub async fn upgrade(
    mut helm: Command,
    shop: &Namespace<'_>,
    replicas: Option<i32>,
    revision: &str,
    flags: &[&str],
) -> Result<(bool, String)> {
    helm.args(["upgrade", "--install", "app"]).arg(chart(shop)?).args(["--namespace", &shop.name]);
    helm.arg(format!("--set-string=revision={revision}")).args(flags);
    if let Some(replicas) = replicas {
        helm.arg(format!("--set=replicas={replicas}"));
    }
    let output = helm.output().await?;
    Ok((output.status.success(), String::from_utf8([output.stdout, output.stderr].concat())?))
}

/// Checks that the Deployment has this revision, and waits until its count is ours and the server knows of so many drifts,
/// the last by this manager.
pub async fn held(shop: &Namespace<'_>, revision: &str, replicas: i64, drifts: i64, manager: &str) -> Result<()> {
    let status = shop.drifts("deployment.web", drifts).await?;
    ensure!(status["lastDrift"]["manager"] == manager, "{status}");
    let web = shop.get("deployment/web").await?;
    ensure!(web["spec"]["replicas"] == replicas, "{}", web["spec"]["replicas"]);
    let found = web.pointer("/spec/template/metadata/annotations/revision").context("no revision")?;
    ensure!(*found == *revision, "the template is of revision {found}, not {revision}");
    Ok(())
}

/// The managers that own the count of the Deployment.
pub async fn owners(shop: &Namespace<'_>) -> Result<Vec<String>> {
    let web = shop.get("deployment/web").await?;
    let entries = web.pointer("/metadata/managedFields").and_then(Value::as_array).context("no managedFields")?;
    let owning = entries.iter().filter(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some());
    Ok(owning.filter_map(|entry| entry["manager"].as_str().map(str::to_owned)).collect())
}

/// Waits until a manager alone owns the count of the Deployment: it is given back a moment after the correction.
pub async fn owned_by(shop: &Namespace<'_>, manager: &str) -> Result<()> {
    wait::until(&format!("the ownership with {manager}"), PATIENCE, async || {
        let owners = owners(shop).await?;
        ensure!(owners == [manager], "it is with {owners:?}");
        Ok(())
    })
    .await
}
