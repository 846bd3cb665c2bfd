//! The chart, beyond what every other test shows: that a server installed by it works.

use anyhow::{Context, Result};
use cluster::run;

use crate::support::{release, world};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/replica-count-manager");

#[tokio::test]
async fn the_chart_passes_the_strict_lint() -> Result<()> {
    let world = world().await?;
    run(world.cluster.helm().args(["lint", "--strict", CHART, "--set", "certificates.existingSecret=x"])).await?;
    Ok(())
}

#[tokio::test]
async fn a_value_that_is_wrong_or_missing_is_named() -> Result<()> {
    let world = world().await?;
    for (values, message) in [
        (vec![], "certificates.existingSecret"),
        (vec!["certificates.existingSecret=x", "replicaCout=2"], "replicaCout"),
        (vec!["certificates.existingSecret=x", "maxReplicas=-1"], "maxReplicas"),
    ] {
        let mut helm = world.cluster.helm();
        helm.args(["template", "release", CHART]);
        for value in values {
            helm.args(["--set", value]);
        }
        let error = run(&mut helm).await.err().context("should be refused")?.to_string();
        assert!(error.contains(message), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_takes_every_object_without_a_warning() -> Result<()> {
    let world = world().await?;
    let mut helm = world.cluster.helm();
    helm.args(["template", "other", CHART, "--namespace", release::NAME, "--set", "certificates.existingSecret=x"]);
    let manifest = world.cluster.folder().join("rendered.yaml");
    std::fs::write(&manifest, run(&mut helm).await?)?;
    let mut kubectl = world.cluster.kubectl();
    kubectl
        .args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "--filename"])
        .arg(&manifest);
    run(&mut kubectl).await?;
    Ok(())
}

#[tokio::test]
async fn the_server_may_do_what_it_needs_and_no_more() -> Result<()> {
    let world = world().await?;
    let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
    for (verb, resource, allowed) in [
        ("patch", "deployments.apps --subresource=scale", true),
        ("patch", "statefulsets.apps --subresource=scale", true),
        ("watch", "deployments.apps", true),
        ("delete", "replicacounts.replica-count-manager.io", true),
        ("patch", "replicacounts.replica-count-manager.io --subresource=status", true),
        ("create", "events.events.k8s.io", true),
        ("patch", "deployments.apps", false),
        ("update", "deployments.apps", false),
        ("delete", "deployments.apps", false),
        ("get", "secrets", false),
        ("list", "pods", false),
        ("create", "pods --subresource=exec", false),
        ("escalate", "clusterroles.rbac.authorization.k8s.io", false),
    ] {
        let mut kubectl = world.cluster.kubectl();
        kubectl.args(["auth", "can-i", verb, &account, "--all-namespaces"]).args(resource.split(' '));
        let answer = kubectl.output().await?;
        assert_eq!(answer.status.success(), allowed, "{verb} {resource}: {answer:?}");
    }
    Ok(())
}
