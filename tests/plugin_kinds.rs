//! The names of kinds that the plugin accepts: those that kubectl accepts.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, Outcome, PATIENCE, manifests::ReplicaCountManifest, outcome};

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

/// The CRDs of the group, and the server's rights to the kind with a count.
fn definitions() -> Value {
    let scale = json!({"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": GROUP, "labels": {"replica-count-manager.io/aggregate-to-server": "true"}},
        "rules": [
            {"apiGroups": [GROUP], "resources": ["clonesets"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [GROUP], "resources": ["clonesets/scale"], "verbs": ["patch"]},
        ],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        definition("clonesets", "CloneSet", "v1alpha1", "clone", &scale),
        definition("sidecars", "Sidecar", "v1beta1", "sc", &json!({})),
        role,
    ]})
}

async fn run(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

#[tokio::test]
async fn a_kind_has_the_names_and_versions_that_kubectl_knows() -> Result<()> {
    let shop = Namespace::shared("kind-names").await?;
    let objects = definitions();
    shop.kubectl_with(&["apply", "--filename=-"], &objects.to_string()).await?;
    let web = json!({"apiVersion": format!("{GROUP}/v1alpha1"), "kind": "CloneSet", "metadata": {"name": "web"},
                     "spec": {"replicas": 2}});
    wait::until("the CloneSet", PATIENCE, async || {
        shop.kubectl_with(&["apply", "--filename=-"], &web.to_string()).await
    })
    .await?;
    shop.deployment("web", 1).await?;
    wait::until("the server's watch of the kind", PATIENCE, async || {
        let set = run(&shop, "set clonesets.mixed.example.com/web 3").await?;
        ensure!(set.code == Some(0), "{set:?}");
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
        let set = run(&shop, &format!("set {name} 4")).await?;
        let answers = [format!("{full} set to 4"), format!("{full} unchanged")];
        let is_answered = answers.iter().any(|answer| set.stdout.starts_with(answer));
        assert!(set.code == Some(0) && is_answered, "{name}: {set:?}");
    }
    check_words(&shop).await?;
    create_unscalable(&shop).await?;
    for name in run(&shop, "list --output=name").await?.stdout.lines() {
        let unset = run(&shop, &format!("unset {name}")).await?;
        assert_eq!(unset.code, Some(0), "what list shows can be unset: {name}: {unset:?}");
    }
    check_after_deletion(&shop).await?;
    let delete = ["delete", "--wait=false", "--ignore-not-found", "--filename=-"];
    shop.kubectl_with(&delete, &objects.to_string()).await.map(drop)
}

/// Holds a target whose kind has no count, and reads it by the name that `list` shows.
async fn create_unscalable(shop: &Namespace<'_>) -> Result<()> {
    let ghost = ReplicaCountManifest::deployment("ghost").name("daemonset.ghost").of_kind("apps/v1", "DaemonSet");
    shop.kubectl_with(&["create", "--filename=-"], &ghost.manifest()).await?;
    wait::until("the ReplicaCount to be known", PATIENCE, async || {
        let listed = run(shop, "list --output=name").await?;
        ensure!(listed.stdout.lines().any(|name| name == "daemonset.apps/ghost"), "{listed:?}");
        Ok(())
    })
    .await?;
    for line in ["get daemonset.apps/ghost", "explain daemonset.apps/ghost", "list daemonset.apps"] {
        let outcome = run(shop, line).await?;
        ensure!(outcome.code == Some(0) && outcome.stdout.contains("daemonset.apps/ghost"), "{line}: {outcome:?}");
    }
    Ok(())
}

/// A word that only the API server knows as a kind never stands for a Deployment.
async fn check_words(shop: &Namespace<'_>) -> Result<()> {
    let (cloneset, both) =
        ("cloneset.mixed.example.com/web\n", "cloneset.mixed.example.com/web\ndeployment.apps/web\n");
    for (line, code, stdout, error) in [
        ("set clonesets web --replicas 7", 2, "", "\"clonesets\" may be a kind or the name of a Deployment"),
        ("set --replicas 7 --allow-missing clone web", 2, "", "write clone/web, or deployment/clone"),
        ("unset clonesets web", 2, "", "\"clonesets\" may be a kind or the name of a Deployment"),
        ("set nosuchkind --all --replicas 7 --yes", 2, "", "the cluster has no kind \"nosuchkind\""),
        ("list clonesets.mixed.example.com -o name", 0, cloneset, ""),
        ("list clone,deploy -o name", 0, both, ""),
        ("list clonesets --all-targets -o name", 0, cloneset, ""),
        ("adopt clonesets.mixed.example.com", 0, "", "No unmanaged targets found"),
        ("set clonesets --all --replicas 5 --yes", 0, "cloneset.mixed.example.com/web set to 5 (was 4)\n", ""),
    ] {
        let outcome = run(shop, line).await?;
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let is_as_expected = outcome.code == Some(code) && lines(&outcome.stdout) == lines(stdout);
        ensure!(is_as_expected && outcome.stderr.contains(error), "{line}: {outcome:?}");
    }
    assert_eq!(shop.replicas("deployment/web").await?, 4);
    Ok(())
}

/// What `list` shows of a kind whose CRD was deleted can be read and unset, and the rest is exported.
async fn check_after_deletion(shop: &Namespace<'_>) -> Result<()> {
    let name = "cloneset.mixed.example.com/web";
    let set = run(shop, &format!("set {name}=3 web=2")).await?;
    ensure!(set.code == Some(0), "{set:?}");
    for plural in ["clonesets", "sidecars"] {
        shop.kubectl(&["delete", &format!("customresourcedefinition/{plural}.{GROUP}"), "--timeout=1m"]).await?;
    }
    wait::until("the end of the group", PATIENCE, async || {
        let groups = shop.kubectl(&["get", "--raw", "/apis"]).await?;
        ensure!(!groups.contains(GROUP), "{groups}");
        let exported = run(shop, "export").await?;
        ensure!(exported.code == Some(1), "{exported:?}");
        Ok(())
    })
    .await?;
    let exported = run(shop, "export").await?;
    let is_in_part = exported.stdout.contains("name: deployment.web") && !exported.stdout.contains("CloneSet");
    ensure!(exported.code == Some(1) && is_in_part, "{exported:?}");
    ensure!(exported.stderr.contains("the API group mixed.example.com has no resource CloneSet"), "{exported:?}");
    for (line, stdout) in [
        (format!("get {name} -o name"), format!("{name}\n")),
        ("list cloneset.mixed.example.com -o name".to_owned(), format!("{name}\n")),
        (format!("unset {name} web"), format!("{name} unset (was 3)\ndeployment.apps/web unset (was 2)\n")),
    ] {
        let outcome = run(shop, &line).await?;
        ensure!(outcome.code == Some(0) && outcome.stdout == stdout, "{line}: {outcome:?}");
    }
    Ok(())
}
