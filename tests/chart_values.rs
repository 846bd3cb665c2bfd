//! The chart's values: what is refused is named, by Helm 3 and by Helm 4, and the rest renders objects that the API
//! server accepts.

mod choices;
mod combinations;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::{Value, json};

use support::{
    Outcome, TestCluster, outcome,
    release::{self, CHART},
    shared_cluster,
};

/// A namespace whose name YAML would read as a number.
const DIGITS: &str = "123";

/// The oldest version of Kubernetes that the chart supports.
const KUBERNETES: &str = "1.30.0";

/// What one Helm does with values.
struct Rendered {
    helm: &'static str,
    outcome: Outcome,
}

/// Renders a chart with values in JSON, by Helm 4 and by Helm 3.
async fn render(cluster: &TestCluster, chart: &Path, release: [&str; 2], values: &Value) -> Result<[Rendered; 2]> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let file = cluster.folder().join(format!("values-{}.json", NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&file, values.to_string())?;
    let [name, namespace] = release;
    let render = async |helm, mut command: tokio::process::Command| {
        command.args(["template", name]).arg(chart).args(["--namespace", namespace]);
        command.args(["--kube-version", KUBERNETES, "--values"]).arg(&file);
        Ok::<_, anyhow::Error>(Rendered { helm, outcome: outcome(&mut command).await? })
    };
    let (four, three) = tokio::try_join!(render("Helm 4", cluster.helm()), render("Helm 3", cluster.helm3()))?;
    Ok([four, three])
}

/// The objects of a manifest.
fn objects(manifest: &str) -> Result<Vec<Value>> {
    let documents = manifest.split("\n---\n").map(|document| serde_yaml::from_str(document).context("not YAML"));
    documents.filter(|document| !matches!(document, Ok(Value::Null))).collect()
}

/// Whether a line of standard error is about a value such as `image.tag`: about `/image/tag` or a part of it, about `tag`
/// in `/image`, or it begins with `image.tag` or names the template of that name.
fn names(stderr: &str, path: &str) -> bool {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let pointer = |path: &str| if path.is_empty() { String::new() } else { format!("/{}", path.replace('.', "/")) };
    let (value, parent) = (pointer(path), format!("at '{}': ", pointer(parent)));
    stderr.lines().any(|line| {
        [format!("'{value}'"), format!("'{value}/"), format!("): {path}: "), format!("/{path}.yaml:")]
            .iter()
            .any(|text| line.contains(text))
            || line.contains(&parent) && line.contains(&format!("'{name}'"))
    })
}

#[tokio::test]
async fn a_refusal_names_the_value_on_standard_error() -> Result<()> {
    let cluster = shared_cluster().await?;
    let user = json!({"kind": "User", "name": "x"});
    let kind = json!({"apiGroup": "argoproj.io", "resource": "rollouts"});
    let existing = |values: Value| json!({"certificates": {"existingSecret": "x"}, "more": values});
    for (values, named) in [
        (json!({"certificates": {"mode": "existingSecret"}}), "certificates.existingSecret"),
        (json!({"replicaCout": 2}), "replicaCout"),
        (json!({"service": {"http": {"port": 8080}}}), "service.http.port"),
        (json!({"extraObjects": ["{{ unknown }}"]}), "extraObjects"),
        (json!({"extraObjects": ["a: [b"]}), "extraObjects"),
        (json!({"extraObjects": ["a: b"]}), "extraObjects"),
        (json!({"targets": [{"apiGroup": "*", "resource": "pods"}]}), "targets.0.apiGroup"),
        (json!({"targets": [kind, kind]}), "targets"),
        (json!({"networkPolicy": {"from": "x"}}), "networkPolicy"),
        (json!({"commonLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}), "commonLabels"),
        (json!({"commonLabels": {"team": "not a value"}}), "commonLabels.team"),
        (json!({"podLabels": {"replica-count-manager.io/x": "x"}}), "podLabels"),
        (json!({"extraEnv": [{"name": "LOG_LEVEL", "value": "debug"}]}), "extraEnv"),
        (json!({"extraEnv": [{"name": "X"}, {"name": "X"}]}), "extraEnv"),
        (json!({"extraVolumes": [{"name": "clients", "emptyDir": {}}]}), "extraVolumes"),
        (json!({"extraVolumeMounts": [{"name": "x", "mountPath": "/x"}]}), "extraVolumeMounts"),
        (json!({"certificates": {"mode": "managed", "existingSecret": "x"}}), "certificates.existingSecret"),
        (json!({"certificates": {"mode": "certManager", "existingSecret": "x"}}), "certificates.existingSecret"),
        (json!({"certificates": {"keys": "server"}}), "certificates.keys"),
        (json!({"certificates": {"existingSecret": "x", "dnsNames": ["x"]}}), "certificates.dnsNames"),
        (json!({"certificates": {"issuerRef": {"name": "x"}}}), "certificates.issuerRef"),
        (json!({"certificates": {"clients": {"caSecret": "x"}}}), "certificates.clients.caSecret"),
        (json!({"certificates": {"clients": {"reservedNames": ["x"]}}}), "certificates.clients.reservedNames"),
        (json!({"certificates": {"clients": {"notBefore": "2026-13-01T00:00:00Z"}}}), "certificates.clients.notBefore"),
        (json!({"certificates": {"clients": {"notBefore": "2999-01-01T00:00:00Z"}}}), "certificates.clients.notBefore"),
        (json!({"access": {"login": [user]}, "namespace": "shop"}), "access.login"),
        (json!({"access": {"login": [user]}, "certificates": {"existingSecret": "x"}}), "access.login"),
        (json!({"serviceAccount": {"create": false, "annotations": {"a": "b"}}}), "serviceAccount.annotations"),
        (json!({"admission": {"mode": "record"}, "namespace": "shop"}), "admission.mode"),
        (json!({"admission": {"mode": "warn"}, "fence": {"enabled": false}}), "admission.mode"),
        (json!({"admission": {"mode": "guard"}, "certificates": {"existingSecret": "x"}}), "admission.caBundle"),
        (json!({"admission": {"caBundle": "-----BEGIN CERTIFICATE-----"}}), "admission.caBundle"),
        (json!({"service": {"ipFamilies": ["IPv4", "IPv6"]}}), "service.ipFamilies"),
        (json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}}), "serviceMonitor.enabled"),
        (json!({"serviceMonitor": {"enabled": true}, "service": {"type": "NodePort"}}), "serviceMonitor.enabled"),
        (json!({"metrics": {"secure": true}, "namespace": "shop"}), "metrics.secure"),
        (json!({"metrics": {"secure": true}, "podMonitor": {"enabled": true}}), "podMonitor.enabled"),
        (json!({"metrics": {"authorization": {"credentials": {"name": "x", "key": "x"}}}}), "metrics.authorization"),
        (json!({"metrics": {"tlsConfig": {"insecureSkipVerify": true}}}), "metrics.tlsConfig"),
        (json!({"prometheusRule": {"enabled": true, "disabled": ["ReplicaCountManagerX"]}}), "prometheusRule.disabled"),
        (json!({"strategy": {"rollingUpdate": {"maxSurge": 0}}}), "strategy"),
        (json!({"strategy": {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "0%"}}}), "strategy"),
        (json!({"dnsPolicy": "None"}), "dnsPolicy"),
        (json!({"enabled": false}), "enabled"),
        (existing(json!({})), "more"),
    ] {
        for Rendered { helm, outcome } in render(cluster, CHART.as_ref(), ["other", release::NAME], &values).await? {
            ensure!(outcome.code != Some(0), "{helm} accepts {values}");
            ensure!(names(&outcome.stderr, named), "{helm} does not name {named}: {}", outcome.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_release_whose_name_no_service_can_have_needs_another_one() -> Result<()> {
    let cluster = shared_cluster().await?;
    // Helm allows both as names of releases.
    for name in [DIGITS, "counts.shop"] {
        for Rendered { helm, outcome } in render(cluster, CHART.as_ref(), [name, release::NAME], &json!({})).await? {
            ensure!(names(&outcome.stderr, "fullnameOverride"), "{helm}: {name}: {}", outcome.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_common_names_of_certificates_have_at_most_64_characters() -> Result<()> {
    let cluster = shared_cluster().await?;
    let values = json!({"fullnameOverride": "a".repeat(63), "certificates": {"mode": "certManager"}});
    for Rendered { helm, outcome } in render(cluster, CHART.as_ref(), ["other", release::NAME], &values).await? {
        let all = objects(&outcome.stdout)?;
        let names: Vec<&str> = all.iter().filter_map(|object| object["spec"]["commonName"].as_str()).collect();
        ensure!(names.len() == 2 && names.iter().all(|name| name.len() <= 64), "{helm}: {names:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_parent_chart_switches_the_chart_and_gives_it_registry_and_secrets() -> Result<()> {
    let cluster = shared_cluster().await?;
    let parent = cluster.folder().join("parent");
    fs::create_dir_all(parent.join("charts"))?;
    run(tokio::process::Command::new("cp").args(["--recursive", CHART]).arg(parent.join("charts"))).await?;
    let dependency = json!({"name": release::NAME, "version": env!("CARGO_PKG_VERSION"), "condition": "counts.enabled",
                            "alias": "counts"});
    let chart = json!({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]});
    fs::write(parent.join("Chart.yaml"), chart.to_string())?;
    let global = json!({"imageRegistry": "mirror.example:5000/", "imagePullSecrets": ["a", {"name": "b"}], "other": 1});
    for (is_enabled, expected) in [(true, 1), (false, 0)] {
        let values = json!({"global": global, "counts": {"enabled": is_enabled, "imagePullSecrets": [{"name": "b"}],
                            "image": {"repository": "ghcr.io/x/server", "tag": "t"}}});
        for Rendered { helm, outcome } in render(cluster, &parent, ["other", release::NAME], &values).await? {
            ensure!(outcome.code == Some(0), "{helm}: {}", outcome.stderr);
            let all = objects(&outcome.stdout)?;
            let pods: Vec<_> = all.iter().filter(|object| object["kind"] == "Deployment").collect();
            assert_eq!(pods.len(), expected, "{helm}");
            for pod in pods.iter().map(|deployment| &deployment["spec"]["template"]["spec"]) {
                assert_eq!(pod["containers"][0]["image"], "mirror.example:5000/x/server:t", "{helm}");
                assert_eq!(pod["imagePullSecrets"], json!([{"name": "a"}, {"name": "b"}]), "{helm}");
            }
        }
    }
    Ok(())
}
