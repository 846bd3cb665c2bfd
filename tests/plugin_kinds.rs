//! The names of kinds that the plugin accepts: those that kubectl accepts.

use anyhow::Result;
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, outcome};

/// A group whose preferred version does not have the kind, as that of OpenKruise.
const GROUP: &str = "mixed.example.com";

fn definition(plural: &str, kind: &str, version: &str, short: &str, subresources: &Value) -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "shortNames": [short]},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": subresources,
                          "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

#[tokio::test]
async fn a_kind_has_the_names_and_versions_that_kubectl_knows() -> Result<()> {
    let shop = Namespace::shared("kind-names").await?;
    let scale = json!({"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": GROUP, "labels": {"replica-count-manager.io/aggregate-to-server": "true"}},
        "rules": [
            {"apiGroups": [GROUP], "resources": ["clonesets"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [GROUP], "resources": ["clonesets/scale"], "verbs": ["patch"]},
        ],
    });
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        definition("clonesets", "CloneSet", "v1alpha1", "clone", &scale),
        definition("sidecars", "Sidecar", "v1beta1", "sc", &json!({})),
        role,
    ]});
    shop.kubectl_with(&["apply", "--filename=-"], &objects.to_string()).await?;
    let web = json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": "CloneSet", "metadata": {"name": "web"},
                     "spec": {"replicas": 2}});
    wait::until("the CloneSet", PATIENCE, async || {
        shop.kubectl_with(&["apply", "--filename=-"], &web.to_string()).await
    })
    .await?;
    shop.deployment("web", 1).await?;

    let run =
        async |line: &str| outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await;
    wait::until("the server's watch of the kind", PATIENCE, async || {
        let set = run("set clonesets.mixed.example.com/web 3").await?;
        anyhow::ensure!(set.code == Some(0), "{set:?}");
        Ok(())
    })
    .await?;
    for (name, full) in [
        ("cloneset.mixed.example.com/web", "cloneset.mixed.example.com/web"),
        ("CloneSets.v1alpha1.mixed.example.com/web", "cloneset.mixed.example.com/web"),
        ("CLONESET.mixed/web", "cloneset.mixed.example.com/web"),
        ("clonesets/web", "cloneset.mixed.example.com/web"),
        ("clone/web", "cloneset.mixed.example.com/web"),
        ("deployment.v1.apps/web", "deployment.apps/web"),
        ("Deployment/web", "deployment.apps/web"),
    ] {
        // kubectl agrees that this is a name of the object.
        shop.kubectl(&["get", name]).await?;
        let set = run(&format!("set {name} 4")).await?;
        let answers = [format!("{full} set to 4"), format!("{full} unchanged")];
        let is_answered = answers.iter().any(|answer| set.stdout.starts_with(answer));
        assert!(set.code == Some(0) && is_answered, "{name}: {set:?}");
    }
    let listed = run("list --output=name").await?;
    for name in listed.stdout.lines() {
        let unset = run(&format!("unset {name}")).await?;
        assert_eq!(unset.code, Some(0), "what list shows can be unset: {name}: {unset:?}");
    }
    shop.kubectl_with(&["delete", "--wait=false", "--filename=-"], &objects.to_string()).await.map(drop)
}
