//! The chart, rendered by helm.

use anyhow::{Context, Result};
use cluster::run;
use serde_json::Value;

use super::{release, world};

/// Renders the chart as the release `other` of the server's namespace, with values in JSON.
pub async fn render(values: &Value) -> Result<String> {
    let world = world().await?;
    let mut helm = world.cluster.helm();
    helm.args(["template", "other", release::CHART, "--namespace", release::NAME]);
    helm.args(["--set", "certificates.existingSecret=x", "--set-json", &values.to_string()]);
    run(&mut helm).await
}

/// The objects that the chart renders, with values in JSON.
pub async fn objects(values: &Value) -> Result<Vec<Value>> {
    let text = render(values).await?;
    let documents = text.split("\n---\n").map(|document| serde_yaml::from_str(document).context("not YAML"));
    documents.filter(|document| !matches!(document, Ok(Value::Null))).collect()
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The role of the server itself: a ClusterRole, or a Role where one namespace is managed.
pub fn server_role(objects: &[Value]) -> Result<&Value> {
    let name = format!("{0}-other-{0}", release::NAME);
    objects
        .iter()
        .find(|object| {
            object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")) && object["metadata"]["name"] == *name
        })
        .context("the server has no role")
}

/// The first object of a kind.
pub fn one<'a>(objects: &'a [Value], kind: &'a str) -> Result<&'a Value> {
    of_kind(objects, kind).next().with_context(|| format!("there is no {kind}"))
}
