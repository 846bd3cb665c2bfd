//! The chart's objects, values and generated files. All other tests show that the installed server works.

use std::fs;

use anyhow::{Context, Result, ensure};
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
    "nodeSelector": {"zone": "a"},
    "commonAnnotations": {"owner": "platform"},
    "deploymentAnnotations": {"owner": "deployment"},
    "serviceAccount": {"annotations": {"role": "a"}},
    "service": {"annotations": {"scheme": "internal"}, "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]},
    "revisionHistoryLimit": 3,
    "strategy": {"rollingUpdate": {"maxSurge": 2}},
    "hostUsers": false,
    "runtimeClassName": "gvisor",
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.10"]},
    "initContainers": [{"name": "first", "image": "example"}],
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
        ("secure-metrics", json!({"metrics": {"secure": true}})),
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
async fn common_annotations_are_on_every_object_and_yield_to_those_of_one() -> Result<()> {
    let mut values: Value = serde_json::from_str(ALL)?;
    for optional in ["podMonitor", "prometheusRule", "flowSchema"] {
        values[optional] = json!({"enabled": true});
    }
    for (mode, secret) in [("existingSecret", "x"), ("certManager", ""), ("managed", "")] {
        values["certificates"] = json!({"mode": mode, "existingSecret": secret});
        let mut all = objects(&values).await?;
        // These are the user's own.
        all.retain(|object| !["other-object", "other-text"].iter().any(|name| object["metadata"]["name"] == *name));
        ensure!(all.len() > 20, "{} objects", all.len());
        for object in &all {
            let expected = if object["kind"] == "Deployment" { "deployment" } else { "platform" };
            assert_eq!(object["metadata"]["annotations"]["owner"], expected, "{object}");
        }
        assert_eq!(one(&all, "ServiceAccount")?["metadata"]["annotations"]["role"], "a");
        let service = &one(&all, "Service")?["metadata"]["annotations"];
        assert_eq!(service["scheme"], "internal");
        assert_eq!(service["replica-count-manager.io/ca-configmap"].is_null(), mode == "existingSecret");
        assert_eq!(
            one(&all, "CustomResourceDefinition")?["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
    }
    let plain = objects(&json!({})).await?;
    assert_eq!(one(&plain, "Deployment")?["metadata"]["annotations"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn the_pods_are_as_the_values_say() -> Result<()> {
    let all = objects(&serde_json::from_str(ALL)?).await?;
    let deployment = &one(&all, "Deployment")?["spec"];
    let pod = &deployment["template"]["spec"];
    for (name, found, expected) in [
        ("history", &deployment["revisionHistoryLimit"], json!(3)),
        ("surge", &deployment["strategy"]["rollingUpdate"], json!({"maxSurge": 2, "maxUnavailable": 0})),
        ("nodes", &pod["nodeSelector"], json!({"kubernetes.io/os": "linux", "zone": "a"})),
        ("users", &pod["hostUsers"], json!(false)),
        ("runtime", &pod["runtimeClassName"], json!("gvisor")),
        ("DNS", &pod["dnsConfig"], json!({"nameservers": ["10.0.0.10"]})),
        ("DNS policy", &pod["dnsPolicy"], json!("None")),
        ("init container", &pod["initContainers"][0]["name"], json!("first")),
        ("families", &one(&all, "Service")?["spec"]["ipFamilies"], json!(["IPv4"])),
        ("DNS of the test", &one(&all, "Pod")?["spec"]["dnsPolicy"], json!("None")),
    ] {
        assert_eq!(*found, expected, "{name}");
    }
    let plain = objects(&json!({})).await?;
    let pod = &one(&plain, "Deployment")?["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    for absent in ["hostUsers", "runtimeClassName", "dnsPolicy", "dnsConfig", "initContainers"] {
        assert_eq!(pod[absent], Value::Null, "{absent}");
    }
    Ok(())
}

#[tokio::test]
async fn another_namespace_moves_every_object_and_every_mention_of_it() -> Result<()> {
    let values = |namespace: &str| {
        json!({
            "namespaceOverride": namespace,
            "fullnameOverride": "counts",
            "certificates": {"mode": "managed"},
            "access": {"roles": {"create": false}},
            "prometheusRule": {"enabled": true},
            "podMonitor": {"enabled": true},
            "networkPolicy": {"enabled": true},
            "flowSchema": {"enabled": true}
        })
    };
    let moved = render(&values("elsewhere")).await?;
    let stayed = render(&values("")).await?;
    let moved_back = moved.replace("elsewhere", release::NAME);
    ensure!(moved_back == stayed, "not all of it has moved: {moved}");
    let all = objects(&values("elsewhere")).await?;
    for object in all.iter().filter(|object| object["metadata"]["namespace"].is_string()) {
        assert_eq!(object["metadata"]["namespace"], "elsewhere", "{object}");
    }
    Ok(())
}

#[tokio::test]
async fn monitors_scrape_the_pods_with_the_rules_of_the_values() -> Result<()> {
    let rules = json!([{"sourceLabels": ["__name__"], "regex": "go_.*", "action": "drop"}]);
    let monitor = json!({"enabled": true, "interval": "30s", "relabelings": rules, "metricRelabelings": rules});
    let expected = json!([{"port": "http", "path": "/metrics", "interval": "30s", "relabelings": rules,
                           "metricRelabelings": rules}]);
    for (value, kind, field) in
        [("podMonitor", "PodMonitor", "podMetricsEndpoints"), ("serviceMonitor", "ServiceMonitor", "endpoints")]
    {
        let all = objects(&json!({value: monitor})).await?;
        let spec = &one(&all, kind)?["spec"];
        assert_eq!(spec[field], expected, "{kind}");
        let labels = match kind {
            "PodMonitor" => &one(&all, "Deployment")?["spec"]["template"]["metadata"]["labels"],
            _ => &one(&all, "Service")?["metadata"]["labels"],
        };
        for (name, value) in spec["selector"]["matchLabels"].as_object().context("no selector")? {
            assert_eq!(labels[name], *value, "{kind} selects nothing");
        }
    }
    Ok(())
}

#[test]
fn the_metadata_of_the_chart_has_the_version_and_the_placeholders_of_addresses() -> Result<()> {
    let chart: Value = serde_yaml::from_str(&fs::read_to_string(format!("{CHART}/Chart.yaml"))?)?;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(version), &json!(version)));
    // The release replaces these.
    assert_eq!(chart["home"], "https://repository.invalid");
    let annotation = |name: &str| -> Result<Value> {
        let text = chart["annotations"][format!("artifacthub.io/{name}")].as_str().context("no such annotation")?;
        Ok(serde_yaml::from_str(text)?)
    };
    let image = format!("registry.invalid/replica-count-manager:{version}");
    assert_eq!(annotation("images")?[0]["image"], json!(image));
    for link in annotation("links")?.as_array().context("no links")? {
        ensure!(link["url"].as_str().is_some_and(|url| url.starts_with("https://repository.invalid/")), "{link}");
    }
    let crd: Value = serde_yaml::from_str(&fs::read_to_string(format!("{CHART}/files/crd.yaml"))?)?;
    let listed = annotation("crds")?;
    assert_eq!(listed[0]["name"], crd["metadata"]["name"]);
    assert_eq!(listed[0]["version"], crd["spec"]["versions"][0]["name"]);
    let example = &annotation("crdsExamples")?[0];
    assert_eq!((&example["kind"], &example["metadata"]["name"]), (&json!("ReplicaCount"), &json!("deployment.web")));
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
