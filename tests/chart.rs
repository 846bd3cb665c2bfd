//! The chart's objects, values and generated files. All other tests show that the installed server works.

use std::fs;

use anyhow::{Context, Result};
use cluster::run;
use serde_json::{Value, json};
use tokio::process::Command;

use support::{
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
async fn the_api_server_accepts_every_object_without_a_warning() -> Result<()> {
    let cluster = shared_cluster().await?;
    let one_namespace = json!({"namespace": release::NAME, "fence": {"enabled": true}});
    let digits = json!({"nameOverride": "123", "fullnameOverride": "null", "serviceAccount": {"name": "1e3"},
                        "commonLabels": {"team": "0x1"}, "tests": {"certificateSecret": "456"}});
    let guard = json!({"admission": {"mode": "guard", "exemptGroups": ["it's \"quoted\""]}, "certificates": {"mode": "managed"},
                       "targets": [{"apiGroup": "example.com", "resource": "odds", "version": "v1", "replicasPath": ".spec.a.size"}]});
    for (name, values) in [
        ("plain", json!({})),
        ("all", serde_json::from_str(ALL)?),
        ("one-namespace", one_namespace),
        ("digits", digits),
        ("guard", guard),
    ] {
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

#[tokio::test]
async fn webhooks_cannot_stop_a_write_and_leave_out_what_the_server_writes() -> Result<()> {
    for (mode, certificates, number) in
        [("off", "managed", 0), ("record", "managed", 3), ("warn", "certManager", 3), ("guard", "managed", 4)]
    {
        let admission = json!({"mode": mode, "namespaceSelector": {"matchLabels": {"team": "shop"}}});
        let all = objects(&json!({"admission": admission, "certificates": {"mode": certificates}})).await?;
        let is_configuration =
            |object: &&Value| object["kind"].as_str().is_some_and(|kind| kind.ends_with("WebhookConfiguration"));
        let configurations: Vec<_> = all.iter().filter(is_configuration).collect();
        let webhooks: Vec<_> =
            configurations.iter().flat_map(|object| object["webhooks"].as_array().into_iter().flatten()).collect();
        assert_eq!(webhooks.len(), number, "{mode}");
        for webhook in webhooks {
            assert_eq!(
                (&webhook["failurePolicy"], &webhook["timeoutSeconds"]),
                (&json!("Ignore"), &json!(1)),
                "{webhook}"
            );
            let client = &webhook["clientConfig"];
            assert!(client["caBundle"].is_null() && client["service"]["path"].is_null(), "{webhook}");
            let out = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn",
                             "values": ["kube-system", release::NAME]});
            let selector = json!({"matchLabels": {"team": "shop"}, "matchExpressions": [out]});
            assert_eq!(webhook["namespaceSelector"], selector, "{webhook}");
        }
        for configuration in configurations {
            let injected = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
            assert_eq!(injected.is_string(), certificates == "certManager", "{mode}");
        }
    }
    Ok(())
}
