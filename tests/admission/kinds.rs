//! Other kinds than Deployments in the mode `guard`: those of the chart's `targets`, and ReplicaSets of a rollout.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use super::{guarded_cluster, hostile_writes::wait_until_guarded};
use support::{
    Namespace, PATIENCE, admission,
    chart::{objects, one},
    manifests::ReplicaCountManifest,
};

/// The value of the chart that names the kind of this test, whose count is at a path of its own.
pub(super) const TARGETS: &str = r#"--set-json=targets=[{"apiGroup":"sizes.example.com","resource":"widgets","version":"v1","replicasPath":".spec.size"}]"#;

/// The kind of the chart's value.
fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}, "other": {"type": "string"}}},
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

#[tokio::test]
async fn a_kind_of_the_charts_targets_is_guarded_at_its_own_path() -> Result<()> {
    const WIDGET: &str = "widgets.v1.sizes.example.com/w";
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "widgets").await?;
    shop.kubectl_with(&["apply", "--server-side", "--filename=-"], &definition().to_string()).await?;
    let widget = json!({"apiVersion": "sizes.example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
                        "spec": {"size": 2}});
    let create = ["create", "--filename=-"];
    wait::until("the Widget", PATIENCE, async || shop.kubectl_with(&create, &widget.to_string()).await).await?;
    let name = "widget.sizes.example.com.w";
    let count = ReplicaCountManifest::deployment("w").of_kind("sizes.example.com/v1", "Widget").name(name);
    shop.kubectl_with(&create, &count.replicas(2).manifest()).await?;
    let is_guarded = |count: &Value| count["status"]["admission"] == "guarded";
    shop.wait_for_replica_count(name, "a guarded count", is_guarded).await?;

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
        let asked = rules.iter().filter(|rule| rule["apiGroups"] == json!(["example.com"]));
        let asked: Vec<_> = asked.filter_map(|rule| rule["resources"][0].as_str()).collect();
        assert_eq!(asked, expected, "{kind}");
    }
    Ok(())
}
