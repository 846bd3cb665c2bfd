//! Argo CD sees no difference of the webhooks, with the settings that the documentation has.

use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::run;
use serde_json::Value;

use super::guarded_cluster;
use support::{
    ROOT,
    admission::{self, CONFIGURATION},
    release::NAME,
};

/// The page with the settings.
const PAGE: &str = "docs/admission.md";

/// The `ignoreDifferences` on the page: kinds, and the paths of their fields.
fn documented() -> Result<Vec<(String, Vec<String>)>> {
    let page = fs::read_to_string(format!("{ROOT}/{PAGE}"))?;
    let mut blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let block = blocks.find(|block| block.contains("ignoreDifferences")).context("no ignoreDifferences")?;
    let settings: Value = serde_yaml::from_str(block)?;
    // An excerpt of an Application, or its field alone.
    let ignored = settings.pointer("/spec/ignoreDifferences").or_else(|| settings.get("ignoreDifferences"));
    let ignored = ignored.and_then(Value::as_array).context("no list")?;
    let entry = |entry: &Value| {
        let paths = entry["jqPathExpressions"].as_array().context("no jqPathExpressions")?;
        let paths = paths.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok((entry["kind"].as_str().context("no kind")?.to_owned(), paths))
    };
    ignored.iter().map(entry).collect()
}

/// Removes the fields at a path of jq such as `.webhooks[]?.clientConfig.caBundle`.
fn remove(object: &mut Value, path: &str) {
    let path = path.strip_prefix('.').unwrap_or(path);
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let list = name.strip_suffix("[]?").or_else(|| name.strip_suffix("[]"));
    match (list, rest) {
        (Some(list), Some(rest)) => {
            object[list].as_array_mut().into_iter().flatten().for_each(|item| remove(item, rest));
        }
        (None, Some(rest)) if !object[name].is_null() => remove(&mut object[name], rest),
        (None, None) => {
            object.as_object_mut().and_then(|fields| fields.remove(name));
        }
        _ => {}
    }
}

/// Checks that the live object has everything of the desired one.
fn check(desired: &Value, live: &Value, path: &str) -> Result<()> {
    match (desired, live) {
        (Value::Object(fields), Value::Object(_)) => {
            fields.iter().try_for_each(|(name, value)| check(value, &live[name], &format!("{path}.{name}")))
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            items.iter().zip(others).try_for_each(|(item, other)| check(item, other, &format!("{path}[]")))
        }
        _ => {
            ensure!(desired == live, "{path} is {live}, and not {desired}");
            Ok(())
        }
    }
}

#[tokio::test]
async fn argo_cd_sees_no_difference_of_the_webhooks() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let cluster = &*cluster;
    admission::secret_path(cluster).await?;
    let manifest = run(cluster.helm().args(["get", "manifest", NAME, "--namespace", NAME])).await?;
    let ignored = documented()?;
    let mut kinds = 0;
    for document in manifest.split("\n---\n") {
        let mut desired: Value = serde_yaml::from_str(document)?;
        let kind = desired["kind"].as_str().unwrap_or_default().to_owned();
        if !kind.ends_with("WebhookConfiguration") {
            continue;
        }
        kinds += 1;
        let prefix = kind.trim_end_matches("WebhookConfiguration").to_lowercase();
        let mut live = admission::configuration(cluster, &prefix).await?;
        ensure!(live["metadata"]["name"] == CONFIGURATION, "{live}");
        for (_, paths) in ignored.iter().filter(|(of, _)| *of == kind) {
            for path in paths {
                remove(&mut desired, path);
                remove(&mut live, path);
            }
        }
        check(&desired, &live, &kind)?;
        for (webhook, wanted) in
            live["webhooks"].as_array().into_iter().flatten().zip(desired["webhooks"].as_array().into_iter().flatten())
        {
            ensure!(webhook["clientConfig"] == wanted["clientConfig"], "{webhook} has more than {wanted}");
        }
    }
    ensure!(kinds == 2, "the release has {kinds} configurations");
    Ok(())
}
