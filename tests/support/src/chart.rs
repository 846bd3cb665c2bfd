//! The chart, rendered by helm.

use anyhow::{Context, Result};
use cluster::run;
use serde_json::Value;

use crate::{release, test_cluster::shared_cluster};

/// Renders the chart as the release `other` in the server's namespace, with values in JSON. Unless they say where the
/// certificates come from, these are in an existing Secret.
pub async fn render(values: &Value) -> Result<String> {
    let cluster = shared_cluster().await?;
    let mut values = values.clone();
    if values.pointer("/certificates/mode").is_none() {
        values["certificates"]["existingSecret"] = "x".into();
    }
    let mut helm = cluster.helm();
    helm.args(["template", "other", release::CHART, "--namespace", release::NAME]);
    run(helm.args(["--set-json", &values.to_string()])).await
}

/// Renders the chart with values in JSON, and parses its objects.
pub async fn objects(values: &Value) -> Result<Vec<Value>> {
    let text = render(values).await?;
    let documents = text.split("\n---\n").map(|document| serde_yaml::from_str(document).context("not YAML"));
    documents.filter(|document| !matches!(document, Ok(Value::Null))).collect()
}

/// Selects the objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The server's ClusterRole, or its Role if it manages one namespace.
pub fn server_role(objects: &[Value]) -> Result<&Value> {
    let name = format!("{0}-other-{0}", release::NAME);
    objects
        .iter()
        .find(|object| {
            object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")) && object["metadata"]["name"] == *name
        })
        .context("the server has no role")
}

/// Selects the first object of a kind.
pub fn one<'a>(objects: &'a [Value], kind: &'a str) -> Result<&'a Value> {
    of_kind(objects, kind).next().with_context(|| format!("there is no {kind}"))
}
