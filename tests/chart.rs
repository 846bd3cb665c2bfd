//! The chart's objects, values and generated files. All other tests show that the installed server works.

use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use serde_json::{Value, json};
use tokio::process::Command;

use support::{
    Namespace, PATIENCE,
    chart::{objects, one, render},
    release::{self, CHART},
    shared_cluster,
};

/// All optional objects and settings at once, except those of the Prometheus Operator, whose CRDs the cluster lacks.
const ALL: &str = r#"{
    "replicaCount": 3,
    "image": {"digest": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "platform"},
    "targets": [{"apiGroup": "argoproj.io", "resource": "rollouts"}],
    "pdb": {"minAvailable": "50%"},
    "flowSchema": {"enabled": true, "concurrencyShares": 5},
    "startupProbe": {"failureThreshold": 600},
    "podLabels": {"team": "pods"},
    "logFormat": "json",
    "dashboard": {"enabled": true},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "extraEnv": [{"name": "EXTRA", "value": "1"}],
    "extraVolumes": [{"name": "extra", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    "networkPolicy": {
        "enabled": true,
        "grpcFrom": [{"namespaceSelector": {}}],
        "metricsFrom": [{"podSelector": {}}],
        "egress": [{"ports": [{"port": 443}]}]
    },
    "tests": {"certificateSecret": "client"},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-object"}},
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-text'}}"
    ]
}"#;

#[tokio::test]
async fn the_chart_passes_the_strict_lint() -> Result<()> {
    let cluster = shared_cluster().await?;
    run(cluster.helm().args(["lint", "--strict", CHART, "--set", "certificates.existingSecret=x"])).await?;
    Ok(())
}

#[tokio::test]
async fn helm_names_a_wrong_or_missing_value() -> Result<()> {
    let cluster = shared_cluster().await?;
    for (values, message) in [
        (vec!["certificates.mode=existingSecret"], "certificates.existingSecret"),
        (vec!["certificates.existingSecret=x", "replicaCout=2"], "replicaCout"),
        (vec!["certificates.existingSecret=x", "maxReplicas=-1"], "maxReplicas"),
        (vec!["certificates.existingSecret=x", "image.digest=latest"], "digest"),
        (vec!["certificates.existingSecret=x", "ownership=take"], "ownership"),
        (vec!["certificates.existingSecret=x", "logFormat=xml"], "logFormat"),
        (vec!["certificates.existingSecret=x", "fence.enabled=maybe"], "fence"),
        (vec!["certificates.existingSecret=x", "pdb.minAvailable=half"], "minAvailable"),
        (vec!["certificates.existingSecret=x", r"commonLabels.app\.kubernetes\.io/name=x"], "commonLabels"),
        (vec!["certificates.existingSecret=x", "targets[0].apiGroup=*,targets[0].resource=pods"], "apiGroup"),
        (vec!["certificates.existingSecret=x", "networkPolicy.from=x"], "networkPolicy"),
        (vec!["certificates.existingSecret=x", "flowSchema.concurrencyShares=0"], "concurrencyShares"),
        (vec!["certificates.existingSecret=x", "startupProbe=x"], "startupProbe"),
        (vec!["certificates.existingSecret=x", "prometheusRule.runbookUrl="], "runbookUrl"),
    ] {
        let mut helm = cluster.helm();
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
async fn the_api_server_accepts_every_object_without_a_warning() -> Result<()> {
    let cluster = shared_cluster().await?;
    let one_namespace = json!({"namespace": release::NAME, "fence": {"enabled": true}});
    for (name, values) in [("plain", json!({})), ("all", serde_json::from_str(ALL)?), ("one-namespace", one_namespace)]
    {
        let manifest = cluster.folder().join(format!("rendered-{name}.yaml"));
        fs::write(&manifest, render(&values).await?)?;
        let mut kubectl = cluster.kubectl();
        kubectl.args(["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors"]);
        run(kubectl.arg("--filename").arg(&manifest)).await.with_context(|| format!("the values {name}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_readme_and_the_schema_match_values_yaml() -> Result<()> {
    let copy = shared_cluster().await?.folder().join("chart");
    fs::create_dir(&copy)?;
    let generated = ["README.md", "values.schema.json"];
    for file in generated.into_iter().chain(["values.yaml"]) {
        fs::copy(format!("{CHART}/{file}"), copy.join(file))?;
    }
    run(Command::new(release::program("values")?).arg(&copy)).await?;
    for file in generated {
        let [ours, new] = [CHART.as_ref(), copy.as_path()].map(|folder| fs::read_to_string(folder.join(file)));
        assert!(ours? == new?, "{file} is out of date: run `make chart`");
    }
    let schema = serde_json::from_str(&fs::read_to_string(copy.join("values.schema.json"))?)?;
    assert_eq!(undescribed(&schema, "values"), Vec::<String>::new(), "write a comment above each in values.yaml");
    Ok(())
}

/// The paths of all values without a description.
fn undescribed(schema: &Value, path: &str) -> Vec<String> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let below = properties.flat_map(|(name, property)| {
        let path = format!("{path}.{name}");
        let missing = property["description"].as_str().unwrap_or_default().is_empty();
        missing.then(|| path.clone()).into_iter().chain(undescribed(property, &path)).collect::<Vec<_>>()
    });
    below.collect()
}

#[tokio::test]
async fn common_labels_are_on_every_object_and_in_no_selector() -> Result<()> {
    let mut values: Value = serde_json::from_str(ALL)?;
    values["podMonitor"] = json!({"enabled": true, "interval": "30s", "labels": {"release": "prometheus"}});
    values["prometheusRule"] = json!({"enabled": true, "labels": {"release": "prometheus"}});
    let all = objects(&values).await?;
    assert_eq!(one(&all, "PrometheusRule")?["metadata"]["labels"]["release"], "prometheus");
    for object in all.iter().filter(|object| object["kind"] != "ConfigMap") {
        assert_eq!(object["metadata"]["labels"]["team"], "platform", "{object}");
    }
    let deployment = one(&all, "Deployment")?;
    let pods = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(pods["team"], "pods", "a label of the pods is the more specific one");
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    let plain = objects(&json!({})).await?;
    assert_eq!(selector, &one(&plain, "Deployment")?["spec"]["selector"]["matchLabels"]);
    assert_eq!(selector, &one(&all, "Service")?["spec"]["selector"]);
    assert_eq!(selector, &one(&all, "PodDisruptionBudget")?["spec"]["selector"]["matchLabels"]);
    assert_eq!(selector, &one(&all, "PodMonitor")?["spec"]["selector"]["matchLabels"]);
    assert_eq!(selector, &one(&all, "NetworkPolicy")?["spec"]["podSelector"]["matchLabels"]);
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(selector, &spread["labelSelector"]["matchLabels"]);
    let test = &one(&all, "Pod")?["metadata"]["labels"];
    assert_ne!(selector["app.kubernetes.io/component"], test["app.kubernetes.io/component"], "no calls to the test");
    Ok(())
}

#[tokio::test]
async fn probes_are_values_and_a_server_that_waits_for_the_api_server_is_not_killed() -> Result<()> {
    let container = async |values: Value| -> Result<Value> {
        Ok(one(&objects(&values).await?, "Deployment")?["spec"]["template"]["spec"]["containers"][0].clone())
    };
    let default = container(json!({})).await?;
    // Of the endpoints, only /readyz depends on the API server, and only the readiness probe kills nothing.
    for (probe, path) in [("livenessProbe", "/livez"), ("startupProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(default[probe]["httpGet"], json!({"path": path, "port": "http"}), "{probe}");
        let longer = container(json!({probe: {"timeoutSeconds": 7}})).await?;
        let mut expected = default[probe].clone();
        expected["timeoutSeconds"] = 7.into();
        assert_eq!(longer[probe], expected);
        let without = container(json!({probe: null})).await?;
        assert!(without[probe].is_null(), "{without}");
    }
    Ok(())
}

#[tokio::test]
async fn the_servers_requests_have_a_priority_level_of_their_own_beside_those_of_its_callers() -> Result<()> {
    let cluster = shared_cluster().await?;
    let all = objects(&json!({"flowSchema": {"enabled": true}, "commonLabels": {"test": "flow"}})).await?;
    let kinds = ["FlowSchema", "PriorityLevelConfiguration"];
    let manifest: Vec<_> = all.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).collect();
    assert_eq!(manifest.len(), 4, "they are off by default, and on here");
    let file = cluster.folder().join("flow.json");
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": manifest}).to_string())?;
    run(cluster.kubectl().args(["create", "--filename"]).arg(&file)).await?;

    let name = format!("{0}-other-{0}", release::NAME);
    let account = format!("--as=system:serviceaccount:{0}:other-{0}", release::NAME);
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/x", release::NAME);
    for (path, schema, level) in [
        (lease.as_str(), format!("{name}-lease"), "leader-election".to_owned()),
        ("/apis/authorization.k8s.io/v1/subjectaccessreviews", format!("{name}-reviews"), "workload-low".to_owned()),
        ("/apis/apps/v1/namespaces/default/deployments/x/scale", name.clone(), name.clone()),
        ("/apis/apps/v1/deployments", name.clone(), name.clone()),
    ] {
        for (kind, header, object) in
            [("flowschema", "Flowschema-Uid", schema), ("prioritylevelconfiguration", "Prioritylevel-Uid", level)]
        {
            let uid = run(cluster.kubectl().args(["get", kind, &object, "--output=jsonpath={.metadata.uid}"])).await?;
            wait::until(&format!("{path} in {object}"), PATIENCE, async || {
                // The account has no rights. The API server classifies its requests before it refuses them.
                let output = cluster.kubectl().args(["get", "--raw", path, "-v=9", &account]).output().await?;
                let log = String::from_utf8(output.stderr)?;
                ensure!(log.contains(&format!("X-Kubernetes-Pf-{header}: {uid}")), "{log}");
                Ok(())
            })
            .await?;
        }
    }
    run(cluster.kubectl().args(["delete", "flowschemas,prioritylevelconfigurations", "--selector=test=flow"])).await?;
    Ok(())
}

#[tokio::test]
async fn the_documented_quota_limits_the_replica_counts_of_a_namespace() -> Result<()> {
    let shop = Namespace::shared("quota").await?;
    let readme = fs::read_to_string(format!("{CHART}/README.md"))?;
    let documented = readme.lines().find(|line| line.starts_with("kubectl create quota")).context("no quota")?;
    let (_, hard) = documented.split_once("--hard=").context("no limit")?;
    let hard = format!("--hard={}", hard.replace("=100", "=1"));
    shop.kubectl(&["create", "quota", "replica-counts", &hard]).await?;
    wait::until("the quota in force", PATIENCE, async || {
        let quota = shop.get("quota/replica-counts").await?;
        ensure!(quota["status"]["used"].is_object(), "{quota}");
        Ok(())
    })
    .await?;
    for name in ["web", "api"] {
        shop.deployment(name, 1).await?;
    }
    shop.set("web", 2).await?;
    let refusal = shop.set("api", 2).await.err().context("should be refused")?.to_string();
    assert!(refusal.contains("exceeded quota"), "{refusal}");
    // Changes of the existing one are not limited.
    shop.set("web", 3).await.map(drop)
}

#[tokio::test]
async fn a_digest_wins_over_a_tag() -> Result<()> {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (image, expected) in [
        (json!({"repository": "r"}), format!("r:{}", env!("CARGO_PKG_VERSION"))),
        (json!({"repository": "r", "tag": "t"}), "r:t".to_owned()),
        (json!({"repository": "r", "digest": digest}), format!("r@{digest}")),
        (json!({"repository": "r", "tag": "t", "digest": digest}), format!("r:t@{digest}")),
    ] {
        let objects = objects(&json!({"image": image})).await?;
        for pod in [&one(&objects, "Deployment")?["spec"]["template"], one(&objects, "Pod")?] {
            assert_eq!(pod["spec"]["containers"][0]["image"], expected);
        }
    }
    Ok(())
}
