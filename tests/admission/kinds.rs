//! Other kinds than Deployments in the mode `guard`: those of the chart's `targets`, and ReplicaSets of a rollout.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{guarded_cluster, hostile_writes::wait_until_guarded};
use support::{
    Namespace, PATIENCE, admission,
    chart::{objects, one},
    condition,
    manifests::ReplicaCountManifest,
};

/// The value of the chart that names the kinds of these tests, whose counts are at a path of their own.
pub(super) const TARGETS: &str = r#"--set-json=targets=[{"apiGroup":"sizes.example.com","resource":"widgets","version":"v1","replicasPath":".spec.size"},{"apiGroup":"sizes.example.com","resource":"gadgets","version":"v1beta1","replicasPath":".spec.size"}]"#;

/// Creates what is on the standard input.
const CREATE: [&str; 2] = ["create", "--filename=-"];

/// The most replicas of these kinds.
const MOST: i32 = 50;

/// The group and version that these tests write.
const GROUP_VERSION: &str = "sizes.example.com/v1";

/// The first of these kinds.
fn widgets() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer", "maximum": MOST}, "other": {"type": "string"}}},
        "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.sizes.example.com"},
        "spec": {
            "group": "sizes.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            }],
        },
    })
}

/// An object of a kind, of two replicas.
fn object(kind: &str, name: &str) -> String {
    json!({"apiVersion": GROUP_VERSION, "kind": kind, "metadata": {"name": name}, "spec": {"size": 2}}).to_string()
}

/// Defines a kind, and creates an object of it.
async fn define(shop: &Namespace<'_>, definition: &Value, object: &str) -> Result<()> {
    shop.kubectl_with(&["apply", "--server-side", "--filename=-"], &definition.to_string()).await?;
    wait::until("the kind", PATIENCE, async || shop.kubectl_with(&CREATE, object).await).await.map(drop)
}

/// Holds an object, and returns the name of its ReplicaCount.
async fn hold(shop: &Namespace<'_>, kind: &str, name: &str, replicas: i32) -> Result<String> {
    let count_name = format!("{}.sizes.example.com.{name}", kind.to_lowercase());
    let count = ReplicaCountManifest::deployment(name).of_kind(GROUP_VERSION, kind).name(&count_name);
    shop.kubectl_with(&CREATE, &count.replicas(replicas).manifest()).await?;
    Ok(count_name)
}

fn is_guarded(count: &Value) -> bool {
    count["status"]["admission"] == "guarded"
}

#[tokio::test]
async fn a_kind_of_the_charts_targets_is_guarded_at_its_own_path() -> Result<()> {
    const WIDGET: &str = "widgets.v1.sizes.example.com/w";
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "widgets").await?;
    define(&shop, &widgets(), &object("Widget", "w")).await?;
    let name = hold(&shop, "Widget", "w", 2).await?;
    shop.wait_for_replica_count(&name, "a guarded count", is_guarded).await?;

    let let_through = admission::fail_opens(shop.cluster).await?;
    for (what, patch) in [
        ("another count", json!({"spec": {"size": 7, "other": "a"}})),
        ("no count", json!({"spec": {"size": null, "other": "b"}})),
    ] {
        shop.kubectl(&["patch", WIDGET, "--type=merge", &format!("--patch={patch}")]).await?;
        let stored = shop.get(WIDGET).await?;
        let is_late = admission::fail_opens(shop.cluster).await? > let_through;
        ensure!(stored["spec"]["size"] == 2 || is_late, "{what} was stored: {stored}");
        ensure!(stored["spec"]["other"] == patch["spec"]["other"], "the rest was not stored: {stored}");
    }
    let denied = shop.kubectl(&["scale", WIDGET, "--replicas=7"]).await.err().context("it was accepted")?.to_string();
    let text = "widget.sizes.example.com/w is held at 2 by ";
    let command = "change it with: kubectl replicas set widget.sizes.example.com/w COUNT";
    ensure!(denied.contains(text) && denied.contains(command), "{denied}");
    Ok(())
}

/// The second one. It is stored as v1, and nothing can convert its other version, which the chart's value names.
fn gadgets() -> Value {
    let mut definition = widgets();
    definition["metadata"]["name"] = json!("gadgets.sizes.example.com");
    let spec = &mut definition["spec"];
    spec["names"] = json!({"plural": "gadgets", "kind": "Gadget"});
    let mut beta = spec["versions"][0].clone();
    (beta["name"], beta["storage"]) = (json!("v1beta1"), json!(false));
    spec["versions"] = json!([spec["versions"][0], beta]);
    let unreachable =
        json!({"clientConfig": {"url": "https://127.0.0.1:1/convert"}, "conversionReviewVersions": ["v1"]});
    spec["conversion"] = json!({"strategy": "Webhook", "webhook": unreachable});
    definition
}

#[tokio::test]
async fn a_write_in_another_version_than_the_charts_is_guarded_without_a_conversion() -> Result<()> {
    const GADGET: &str = "gadgets.v1.sizes.example.com/g";
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "gadgets").await?;
    define(&shop, &gadgets(), &object("Gadget", "g")).await?;
    let patch = async |size: i32| {
        let patch = format!("--patch={}", json!({"spec": {"size": size}}));
        shop.kubectl(&["patch", GADGET, "--type=merge", &patch]).await?;
        anyhow::Ok(shop.get(GADGET).await?["spec"]["size"].clone())
    };
    ensure!(patch(3).await? == 3, "a count that is not held was not stored");
    let name = hold(&shop, "Gadget", "g", 2).await?;
    shop.wait_for_replica_count(&name, "a guarded count", is_guarded).await?;
    let let_through = admission::fail_opens(shop.cluster).await?;
    let stored = patch(7).await?;
    ensure!(stored == 2 || admission::fail_opens(shop.cluster).await? > let_through, "{stored} was stored");
    Ok(())
}

#[tokio::test]
async fn creations_fail_for_a_second_at_most_if_the_held_count_cannot_be_stored() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "too-many").await?;
    define(&shop, &widgets(), &object("Widget", "known")).await?;
    let known = hold(&shop, "Widget", "known", 2).await?;
    shop.wait_for_replica_count(&known, "a guarded count", is_guarded).await?;
    let new = hold(&shop, "Widget", "new", MOST + 1).await?;
    let is_missing = |count: &Value| condition(count, "Ready") == Some(("False", "TargetNotFound"));
    shop.wait_for_replica_count(&new, "a missing target", is_missing).await?;
    let let_through = admission::fail_opens(shop.cluster).await?;
    let widget = object("Widget", "new");
    let first = shop.kubectl_with(&CREATE, &widget).await;
    let is_late = admission::fail_opens(shop.cluster).await? > let_through;
    ensure!(first.is_err() || is_late, "the held count was stored");
    if first.is_err() {
        let (refused, mut attempts) = (Instant::now(), Vec::new());
        wait::until("the Widget", PATIENCE, || {
            attempts.push(refused.elapsed());
            shop.kubectl_with(&CREATE, &widget)
        })
        .await?;
        let late = attempts.iter().filter(|after| **after >= Duration::from_secs(1)).count();
        ensure!(late <= 1, "creations were refused more than a second after the first: {attempts:?}");
    }
    let is_refused = |count: &Value| condition(count, "Ready") == Some(("False", "CorrectionFailed"));
    shop.wait_for_replica_count(&new, "a refused correction", is_refused).await.map(drop)
}

#[tokio::test]
async fn a_rollout_of_a_held_deployment_goes_on() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "rollout").await?;
    shop.deployment("web", 2).await?;
    shop.kubectl_with(&["create", "--filename=-"], &ReplicaCountManifest::deployment("web").replicas(2).manifest())
        .await?;
    wait_until_guarded(&shop, "deployment.web").await?;
    shop.kubectl(&["set", "env", "deployment/web", "A=b"]).await?;
    shop.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).await?;
    // Each of the two ReplicaSets has changed its count on the way.
    let sets = shop.get("replicasets").await?;
    let counts: Vec<_> =
        sets["items"].as_array().into_iter().flatten().map(|set| set["spec"]["replicas"].clone()).collect();
    ensure!(counts.len() == 2 && counts.contains(&json!(0)) && counts.contains(&json!(2)), "{counts:?}");
    let count = shop.get("replicacount/deployment.web").await?;
    ensure!(count["status"]["attempts"].as_i64().unwrap_or_default() == 0, "{count}");
    Ok(())
}

#[tokio::test]
async fn the_guard_is_asked_for_a_kind_of_the_charts_targets_only_if_its_version_is_named() -> Result<()> {
    let target =
        |resource: &str, version: &str| json!({"apiGroup": "example.com", "resource": resource, "version": version});
    let targets = [json!({"apiGroup": "example.com", "resource": "others"}), target("widgets", "v1")];
    let all = objects(&json!({
        "certificates": {"mode": "managed"}, "admission": {"mode": "guard"}, "targets": targets,
    }))
    .await?;
    for (kind, expected) in [
        ("ValidatingWebhookConfiguration", vec!["others", "widgets"]),
        ("MutatingWebhookConfiguration", vec!["widgets"]),
    ] {
        let rules = one(&all, kind)?["webhooks"][0]["rules"].as_array().context("no rules")?;
        let asked_rules: Vec<_> = rules.iter().filter(|rule| rule["apiGroups"] == json!(["example.com"])).collect();
        let asked: Vec<_> = asked_rules.iter().filter_map(|rule| rule["resources"][0].as_str()).collect();
        assert_eq!(asked, expected, "{kind}");
        // A rule for one version would have the API server convert all others.
        assert!(asked_rules.iter().all(|rule| rule["apiVersions"] == json!(["*"])), "{kind}: {asked_rules:?}");
    }
    Ok(())
}
