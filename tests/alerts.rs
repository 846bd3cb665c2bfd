//! The chart's alert rules and dashboard and the server's metrics, checked by promtool.

use std::{collections::BTreeSet, fs, process::Stdio};

use anyhow::{Context, Result, ensure};
use cluster::{Tool, find_tool, run};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use support::{
    chart::{objects, one},
    shared_cluster,
};

/// The series and expected alerts that promtool tests the rules with.
const SERIES: &str = include_str!("alerts.yaml");

async fn promtool() -> Result<Command> {
    Ok(Command::new(tokio::task::spawn_blocking(|| find_tool(Tool::Promtool)).await??))
}

/// Renders the chart's rules, with more values in JSON.
async fn rules(values: Value) -> Result<Value> {
    let mut enabled = json!({"prometheusRule": {"enabled": true, "runbookUrl": "docs/alerts.md"}});
    let all = enabled.as_object_mut().context("no object")?;
    all.extend(values.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    Ok(one(&objects(&enabled).await?, "PrometheusRule")?["spec"].clone())
}

fn names(rules: &Value) -> BTreeSet<&str> {
    let rules = rules["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array());
    rules.flatten().filter_map(|rule| rule["alert"].as_str()).collect()
}

#[tokio::test]
async fn every_alert_fires_when_it_should_and_only_then() -> Result<()> {
    let rules = rules(json!({})).await?;
    let folder = shared_cluster().await?.folder().join("alerts");
    fs::create_dir(&folder)?;
    fs::write(folder.join("rules.yaml"), rules.to_string())?;
    fs::write(folder.join("alerts.yaml"), SERIES)?;
    run(promtool().await?.args(["check", "rules", "--lint-fatal", "rules.yaml"]).current_dir(&folder)).await?;
    run(promtool().await?.args(["test", "rules", "alerts.yaml"]).current_dir(&folder)).await?;

    let series: Value = serde_yaml::from_str(SERIES)?;
    let expected = |fires: bool| {
        let tests = series["tests"].as_array().into_iter().flatten();
        let expected = tests.flat_map(|test| test["alert_rule_test"].as_array()).flatten();
        let of_kind = expected.filter(move |one| (one["exp_alerts"] != json!([])) == fires);
        of_kind.filter_map(|one| one["alertname"].as_str()).collect::<BTreeSet<_>>()
    };
    let names = names(&rules);
    assert!(names.len() > 10, "{names:?}");
    assert_eq!((expected(true), expected(false)), (names.clone(), names), "alerts.yaml tests each of them both ways");
    Ok(())
}

#[tokio::test]
async fn every_alert_has_a_runbook_section() -> Result<()> {
    let rules =
        rules(json!({"prometheusRule": {"enabled": true, "runbookUrl": "https://example.com/alerts.md"}})).await?;
    let runbooks = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/alerts.md"))?;
    let sections: BTreeSet<_> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(names(&rules), sections);
    for rule in rules["groups"][0]["rules"].as_array().context("no rules")? {
        let name = rule["alert"].as_str().context("no name")?;
        let annotations = &rule["annotations"];
        assert_eq!(annotations["runbook_url"], format!("https://example.com/alerts.md#{}", name.to_lowercase()));
        for text in ["summary", "description"] {
            assert!(annotations[text].as_str().is_some_and(|text| text.ends_with('.')), "{rule}");
        }
        let severity = rule["labels"]["severity"].as_str().context("no severity")?;
        let section = runbooks.split(&format!("## {name}\n\n")).nth(1).context("no section")?;
        assert_eq!(section.split_once('.').context("no sentence")?.0.to_lowercase(), severity, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_expiry_alert_fires_later_for_managed_certificates() -> Result<()> {
    for (values, hours) in [(json!({}), 168), (json!({"certificates": {"mode": "managed"}}), 4)] {
        let rules = rules(values).await?.to_string();
        assert!(rules.contains(&format!("< 3600 * {hours}\"")), "{rules}");
    }
    Ok(())
}

#[tokio::test]
async fn each_alert_can_be_switched_off_and_the_thresholds_are_those_of_the_values() -> Result<()> {
    let all = rules(json!({})).await?;
    let names = names(&all);
    let thresholds = json!({"correctionSeconds": 1.25, "queueSeconds": 31, "watchFailures": 0.125,
                            "apiServerErrors": 0.375, "callErrors": 0.5, "certificateHours": 12});
    let left = "ReplicaCountManagerCertificateExpiring";
    let disabled: Vec<_> = names.iter().copied().filter(|name| *name != left).collect();
    let one = rules(json!({"prometheusRule": {"enabled": true, "disabled": disabled}})).await?;
    assert_eq!(self::names(&one), BTreeSet::from([left]));
    let all = rules(json!({"prometheusRule": {"enabled": true, "thresholds": thresholds}})).await?.to_string();
    for threshold in ["> 1.25\n", "> 31\"", "> 0.125\"", "> 0.375\"", "> 0.5\"", "< 3600 * 12\""] {
        let threshold = threshold.replace('\n', "\\n");
        ensure!(all.matches(&threshold).count() == 1, "{threshold} is not there once: {all}");
    }
    ensure!(!["NAMESPACE", "RUNBOOKS", "_SECONDS", "_ERRORS"].iter().any(|word| all.contains(word)), "{all}");
    Ok(())
}

#[tokio::test]
async fn the_runbooks_are_those_of_the_version_in_the_home_of_the_chart() -> Result<()> {
    let rules = rules(json!({"prometheusRule": {"enabled": true}})).await?;
    let page = rules["groups"][0]["rules"][0]["annotations"]["runbook_url"].as_str().context("no runbook")?;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(page, format!("https://repository.invalid/blob/v{version}/docs/alerts.md#replicacountmanagerabsent"));
    Ok(())
}

#[tokio::test]
async fn every_query_of_the_dashboard_is_valid_promql() -> Result<()> {
    let objects = objects(&json!({"dashboard": {"enabled": true}})).await?;
    let map = objects.iter().find(|object| object["metadata"]["labels"]["grafana_dashboard"] == "1");
    let text = map.context("no ConfigMap")?["data"]["replica-count-manager.json"].as_str().context("no dashboard")?;
    let dashboard: Value = serde_json::from_str(text)?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.filter_map(|target| target["expr"].as_str());
    let queries: Vec<_> = queries.map(|query| query.replace("$__rate_interval", "5m")).collect();
    assert!(queries.len() > 20, "{queries:?}");
    for query in &queries {
        run(promtool().await?.args(["--experimental", "promql", "format", query])).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_metrics_follow_prometheus_conventions() -> Result<()> {
    let metrics = shared_cluster().await?.http("/metrics").await?.1;
    let mut promtool = promtool().await?;
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn()?;
    child.stdin.take().context("no standard input")?.write_all(classic(&metrics)?.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    let problems = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{}: {problems}", output.status);
    Ok(())
}

/// Converts metrics to the older text format that promtool reads. OpenMetrics describes a metric family, the older
/// format each series by its whole name.
fn classic(metrics: &str) -> Result<String> {
    let mut classic = String::new();
    let mut help = "";
    for line in metrics.lines().filter(|line| *line != "# EOF") {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text;
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, text) = help.split_once(' ').context("no help")?;
            let (series, kind) = match family.strip_prefix(name).context("help of another family")?.trim() {
                "counter" => (format!("{name}_total"), "counter"),
                "info" => (format!("{name}_info"), "gauge"),
                kind => (name.to_owned(), kind),
            };
            classic += &format!("# HELP {series} {text}\n# TYPE {series} {kind}\n");
        } else {
            classic += &format!("{line}\n");
        }
    }
    Ok(classic)
}
