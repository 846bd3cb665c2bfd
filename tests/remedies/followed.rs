//! The remedies of docs/tools, followed to the letter: after each of them, three further syncs cause no drift.
//!
//! Helm, kubectl, kustomize and the autoscaler are the real ones. Argo CD and Flux are server-side applies with their field
//! managers: with the settings of their pages, they apply the live count.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::Value;
use tokio::process::Command;

use support::{
    Namespace,
    manifests::{ReplicaCountManifest, Workload},
};

/// The first code block of a language below "What to set" of a page.
fn snippet(page: &'static str, language: &str) -> Result<&'static str> {
    let (_, section) = page.split_once("## What to set").context("the page does not say what to set")?;
    let (_, code) = section.split_once(&format!("```{language}\n")).context("there is no such code")?;
    Ok(code.split_once("```").context("the code does not end")?.0)
}

/// Syncs three times, and checks that none of them was a drift of the Deployment `web`, which is held at `count`.
async fn assert_no_drift(
    shop: &Namespace<'_>,
    (drifts, count): (i64, i32),
    mut sync: impl AsyncFnMut(usize) -> Result<()>,
) -> Result<()> {
    for number in 1..=3 {
        sync(number).await.with_context(|| format!("sync {number}"))?;
        shop.wait_for_replicas("deployment/web", count.into()).await?;
    }
    // The server sees the states in order, so after this drift it has seen all of them.
    shop.kubectl(&["patch", "deployment/web", "--field-manager=the-end", "--patch={\"spec\":{\"replicas\":8}}"])
        .await?;
    let status = shop.wait_for_drifts("deployment.web", drifts + 1).await?;
    ensure!(status["lastDrift"]["manager"] == "the-end" && status["lastDrift"]["from"] == count, "{status}");
    Ok(())
}

/// Writes a chart whose Deployment has the page's template of the count, into a folder.
fn chart(folder: PathBuf, page: &'static str) -> Result<PathBuf> {
    let deployment = format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
{}  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}, annotations: {{revision: {{{{ .Values.revision | quote }}}}}}}}
    spec: {{containers: [{{name: main, image: example}}]}}
",
        snippet(page, "yaml")?
    );
    std::fs::create_dir_all(folder.join("templates"))?;
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n")?;
    std::fs::write(folder.join("values.yaml"), "replicas: 2\nrevision: \"0\"\n")?;
    std::fs::write(folder.join("templates/web.yaml"), deployment)?;
    Ok(folder)
}

async fn helm_follows(shop: &Namespace<'_>, helm: impl Fn() -> Command, page: &'static str) -> Result<()> {
    let chart = chart(shop.cluster.folder().join(format!("chart-{}", shop.name)), page)?;
    let upgrade = async |flags: &[&str]| {
        let mut upgrade = helm();
        upgrade.args(["upgrade", "--install", "shop"]).arg(&chart).args(["--namespace", &shop.name]).args(flags);
        run(&mut upgrade).await.map(drop)
    };
    upgrade(&[]).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    upgrade(&["--set=replicas=4"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    // The page says that the first upgrade without the count resets it for a moment.
    upgrade(&["--set=replicas=4", "--set", "held=true"]).await?;
    shop.wait_for_drifts("deployment.web", 2).await?;
    assert_no_drift(shop, (2, 3), async |number| {
        let revision = format!("--set=replicas={},revision=r{number}", 4 + number);
        upgrade(&[&revision, "--set", "held=true"]).await
    })
    .await
}

#[tokio::test]
async fn helm_3_leaves_the_count_out() -> Result<()> {
    let shop = Namespace::shared("followed-helm3").await?;
    helm_follows(&shop, || shop.cluster.helm3(), include_str!("../../docs/tools/helm-3.md")).await
}

#[tokio::test]
async fn helm_4_leaves_the_count_out() -> Result<()> {
    let shop = Namespace::shared("followed-helm4").await?;
    helm_follows(&shop, || shop.cluster.helm(), include_str!("../../docs/tools/helm-4.md")).await
}

#[tokio::test]
async fn kubectl_applies_a_manifest_without_the_count() -> Result<()> {
    for (purpose, flags) in [("followed-apply", &[][..]), ("followed-server-side", &["--server-side"][..])] {
        let shop = Namespace::shared(purpose).await?;
        let apply = async |web: Workload<'_>| {
            shop.kubectl_with(&[&["apply", "--filename=-"], flags].concat(), &web.manifest()).await.map(drop)
        };
        apply(Workload::deployment("web").replicas(2)).await?;
        shop.set("web", 3).await?;
        shop.wait_for_replicas("deployment/web", 3).await?;
        // The page says that the first apply without the count resets it for a moment.
        apply(Workload::deployment("web")).await?;
        shop.wait_for_drifts("deployment.web", 1).await?;
        assert_no_drift(&shop, (1, 3), async |number| {
            apply(Workload::deployment("web").revision(&format!("r{number}"))).await
        })
        .await
        .context(purpose)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_person_sets_the_count_by_the_plugin() -> Result<()> {
    let shop = Namespace::shared("followed-person").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    let page = include_str!("../../docs/tools/kubectl.md");
    let line = "kubectl replicas set web 7";
    ensure!(page.contains(line), "the page has another command");
    shell(&shop, line).await?;
    shop.wait_for_replicas("deployment/web", 7).await?;
    let scale = ["scale", "deployment/web", "--replicas=7"];
    assert_no_drift(&shop, (1, 7), async |_| shop.kubectl(&scale).await.map(drop)).await
}

/// Runs a line of a page in a shell, with the namespace as the default one.
async fn shell(shop: &Namespace<'_>, line: &str) -> Result<()> {
    let mut kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(shop.cluster.control_plane.kubeconfig())?)?;
    kubeconfig["contexts"][0]["context"]["namespace"] = shop.name.clone().into();
    let path = shop.cluster.folder().join(format!("{}.kubeconfig", shop.name));
    std::fs::write(&path, kubeconfig.to_string())?;
    let plugin = shop.cluster.plugin();
    let mut shell = shop.cluster.command("sh");
    let variables = plugin.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.envs(variables).env("KUBECONFIG", path).args(["-ec", line]);
    run(&mut shell).await.map(drop)
}

#[tokio::test]
async fn an_overlay_removes_the_count_and_sets_that_of_the_replica_count() -> Result<()> {
    let shop = Namespace::shared("followed-kustomize").await?;
    let folder = shop.cluster.folder().join("followed-kustomize");
    let write = |path: &str, text: &str| -> Result<()> {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(std::fs::write(path, text)?)
    };
    write("base/kustomization.yaml", "resources: [web.yaml, count.yaml]\n")?;
    write("base/web.yaml", &Workload::deployment("web").replicas(2).manifest())?;
    write("base/count.yaml", &ReplicaCountManifest::deployment("web").replicas(3).manifest())?;
    let apply = async |part: &str| {
        let folder = folder.join(part).display().to_string();
        shop.kubectl(&["apply", "--kustomize", &folder]).await.map(drop)
    };
    apply("base").await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let before = shop.get("replicacount/deployment.web").await?["status"]["drifts"].as_i64().unwrap_or(0);
    apply("base").await?;
    shop.wait_for_drifts("deployment.web", before + 1).await?;
    write("overlay/kustomization.yaml", snippet(include_str!("../../docs/tools/kustomize.md"), "yaml")?)?;
    // The page says that the first apply without the count resets it for a moment. The same apply sets another count, so
    // that drift may not be put back.
    apply("overlay").await?;
    shop.wait_for_replicas("deployment/web", 5).await?;
    let is_settled = |count: &Value| {
        let status = &count["status"];
        status["desired"] == 5 && status["observed"] == 5 && status["drifts"] == before + 2
    };
    let settled = shop.wait_for_replica_count("deployment.web", "5 replicas in place", is_settled).await?;
    let drifts = settled["status"]["drifts"].as_i64().context("no drifts")?;
    assert_no_drift(&shop, (drifts, 5), async |_| apply("overlay").await).await
}

#[tokio::test]
async fn an_autoscaler_is_deleted_before_the_count_is_held() -> Result<()> {
    let shop = Namespace::shared("followed-hpa").await?;
    shop.deployment("web", 2).await?;
    shop.kubectl(&["autoscale", "deployment/web", "--name=web", "--min=5", "--max=9", "--cpu=50%"]).await?;
    let lines = snippet(include_str!("../../docs/tools/hpa.md"), "sh")?;
    let hold = lines.lines().next().and_then(|line| line.split_once('#')).context("no line about holding")?.0;
    shell(&shop, hold).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    // An autoscaler writes within 15 s, so a write after three applies comes from none.
    let apply = ["apply", "--server-side", "--filename=-"];
    assert_no_drift(&shop, (0, 3), async |_| {
        shop.kubectl_with(&apply, &Workload::deployment("web").manifest()).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn argo_cd_and_flux_apply_the_live_count() -> Result<()> {
    for (manager, purpose) in [("argocd-controller", "followed-argo"), ("kustomize-controller", "followed-flux")] {
        let shop = Namespace::shared(purpose).await?;
        let manager = format!("--field-manager={manager}");
        let apply = async |replicas: i32, revision: &str| {
            let flags = ["apply", "--server-side", "--force-conflicts", &manager, "--filename=-"];
            let web = Workload::deployment("web").replicas(replicas).revision(revision);
            shop.kubectl_with(&flags, &web.manifest()).await.map(drop)
        };
        apply(2, "first").await?;
        shop.set("web", 3).await?;
        shop.wait_for_replicas("deployment/web", 3).await?;
        apply(2, "second").await?;
        shop.wait_for_drifts("deployment.web", 1).await?;
        assert_no_drift(&shop, (1, 3), async |number| {
            let live = i32::try_from(shop.replicas("deployment/web").await?)?;
            apply(live, &format!("r{number}")).await
        })
        .await
        .context(purpose)?;
    }
    Ok(())
}
