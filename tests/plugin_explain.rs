//! `kubectl replicas explain`: why a target has its count, whether it is managed or not.

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, User, condition, outcome};

/// Explains a target, in sentences.
async fn explain(shop: &Namespace<'_>, target: &str) -> Result<String> {
    let outcome = outcome(shop.cluster.plugin().args(["explain", target, "--namespace", &shop.name])).await?;
    ensure!(outcome.code == Some(0) && outcome.stderr.is_empty(), "{outcome:?}");
    Ok(outcome.stdout)
}

/// Explains a target, for programs.
async fn document(shop: &Namespace<'_>, target: &str) -> Result<Value> {
    let mut plugin = shop.cluster.plugin();
    let outcome = outcome(plugin.args(["explain", target, "--output=json", "--namespace", &shop.name])).await?;
    Ok(serde_json::from_str(&outcome.stdout)?)
}

fn check(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is missing in {text}");
    }
    Ok(())
}

/// Waits until the target has its count and its replicas are ready.
async fn wait_until_ready(shop: &Namespace<'_>) -> Result<()> {
    let is_ready = |count: &Value| condition(count, "Ready") == Some(("True", "InPlace"));
    shop.wait_for_replica_count("deployment.web", "ready", is_ready).await.map(drop)
}

#[tokio::test]
async fn a_managed_target_is_explained_with_its_override_and_its_drift() -> Result<()> {
    let shop = Namespace::shared("explain").await?;
    shop.deployment("web", 2).await?;
    let set = async |line: &str| {
        let set = outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await?;
        ensure!(set.code == Some(0), "{set:?}");
        Ok(())
    };
    set("set web 3 --reason load-test").await?;
    wait_until_ready(&shop).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    wait_until_ready(&shop).await?;
    check(
        &explain(&shop, "web").await?,
        &[
            &format!("deployment.apps/web in the namespace {} is held at 3 replicas: its spec has them", shop.name),
            "admin set the lasting count to 3 ",
            " ago: load-test.\n",
            "Before it was managed, it had 2 replicas.",
            "A program, kubectl, changed the count from 3 to 9 ",
            ", and it was put back ",
            "admin may set it and unset it.",
            "If another program writes another count, the server puts 3 back at once.",
        ],
    )?;

    set("set web 4 --for 2h --reason sale").await?;
    wait_until_ready(&shop).await?;
    let changed = |count: &Value| count["status"]["changes"].as_array().is_some_and(|changes| changes.len() == 2);
    shop.wait_for_replica_count("deployment.web", "the change", changed).await?;
    let text = explain(&shop, "deploy/web").await?;
    check(&text, &["is held at 4 replicas", "An override of 4 holds until ", "): sale. admin set it "])?;
    check(&text, &[" the override ends, and 3 holds again."])?;
    let document = document(&shop, "web").await?;
    assert_eq!(
        (&document["kind"], &document["managed"], &document["replicaCount"]["override"]["replicas"]),
        (&json!("ReplicaCountExplanation"), &json!(true), &json!(4))
    );
    assert_eq!((&document["rights"]["set"], &document["unknown"]), (&json!(true), &json!([])), "{document}");

    // A target that does not exist any more.
    shop.kubectl(&["delete", "deployment/web"]).await?;
    let is_gone = |count: &Value| condition(count, "TargetFound") == Some(("False", "NotFound"));
    shop.wait_for_replica_count("deployment.web", "no target", is_gone).await?;
    check(
        &explain(&shop, "web").await?,
        &["should have 4 replicas, but does not exist.", "Once the target is created, it gets 4 replicas."],
    )
}

#[tokio::test]
async fn who_contends_and_what_to_do_is_explained() -> Result<()> {
    let shop = Namespace::shared("explain-contested").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    for drifts in 1..=3 {
        shop.wait_for_replicas("deployment/web", 3).await?;
        shop.kubectl(&["scale", "deployment/web", "--replicas=6"]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    let is_contested = |count: &Value| condition(count, "Contested") == Some(("True", "RepeatedDrift"));
    shop.wait_for_replica_count("deployment.web", "Contested", is_contested).await?;
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web-cpu"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 3, "maxReplicas": 3,
        },
    });
    let text = explain(&shop, "web").await?;
    check(
        &text,
        &[
            "It is contested: kubectl keeps changing the count: ",
            "kubectl replicas set deployment.apps/web COUNT",
            "There were 3 such drifts.",
        ],
    )?;
    shop.kubectl_with(&["create", "--filename=-"], &autoscaler.to_string()).await?;
    check(
        &explain(&shop, "web").await?,
        &["HorizontalPodAutoscaler web-cpu scales it.", "The autoscaler writes its own count again and again"],
    )?;
    assert_eq!(document(&shop, "web").await?["autoscalers"], json!(["web-cpu"]));
    Ok(())
}

#[tokio::test]
async fn what_speaks_against_holding_an_unmanaged_target_is_explained() -> Result<()> {
    let shop = Namespace::shared("explain-unmanaged").await?;
    shop.kubectl(&["create", "configmap", "events"]).await?;
    let uid = shop.get("configmap/events").await?["metadata"]["uid"].clone();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "events", "uid": uid, "controller": true});
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "ownerReferences": [owner],
            "annotations": {"meta.helm.sh/release-name": "app", "meta.helm.sh/release-namespace": shop.name},
        },
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "example"}]},
            },
        },
    });
    shop.kubectl_with(&["apply", "--server-side", "--field-manager=helm", "--filename=-"], &web.to_string()).await?;
    let text = explain(&shop, "web").await?;
    check(
        &text,
        &[
            "is not managed. Its spec has 2 replicas",
            "helm wrote the count last ",
            " ago, by server-side apply.",
            "helm applies the count, and writes it again at its next run.",
            "ConfigMap events controls it, and may change its count",
            &format!("It belongs to the Helm release {}/app.", shop.name),
            &format!("`kubectl replicas set deployment.apps/web 2 -n {}` holds it at this count.", shop.name),
            "If ConfigMap events then changes it, the server puts it back.",
        ],
    )?;
    let document = document(&shop, "web").await?;
    assert_eq!(
        (&document["managed"], &document["lastWriter"]["manager"], &document["controller"]),
        (&json!(false), &json!("helm"), &json!("ConfigMap events"))
    );
    shop.kubectl(&["scale", "deployment/web", "--replicas=1"]).await?;
    wait::until("the new count", PATIENCE, async || {
        let scaled = explain(&shop, "web").await?;
        check(&scaled, &["Its spec has 1 replica", "kubectl wrote the count last, by scaling."])
    })
    .await?;

    let missing = outcome(shop.cluster.plugin().args(["explain", "nosuch", "--namespace", &shop.name])).await?;
    ensure!(missing.code == Some(1) && missing.stderr.contains("nosuch"), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_user_may_not_read_is_said_in_a_line() -> Result<()> {
    let shop = Namespace::shared("explain-rights").await?;
    let user = User::new(shop.cluster, "explain-reader")?;
    user.grant_connect().await?;
    let certificate = shop.cluster.certificates();
    shop.cluster.certificate_of(&user.name).await?;
    let [ca, cert, key] = ["ca/ca.crt", "client-explain-reader/client.crt", "client-explain-reader/client.key"]
        .map(|file| certificate.join(file).display().to_string());
    let as_user = async || {
        let files = ["--ca", &*ca, "--cert", &*cert, "--key", &*key, "--namespace", &*shop.name];
        user.try_run(&[&["explain", "web"], &files[..]].concat()).await
    };
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    let blind = as_user().await?;
    ensure!(blind.code == Some(0), "{blind:?}");
    check(
        &blind.stdout,
        &[
            "The count of deployment.apps/web in the namespace",
            "is not known.",
            "You may not read the replica count of deployment.apps/web: ",
            "You may not get deployments/web in the namespace",
            "You may not list horizontalpodautoscalers in the namespace",
            "explain-reader may not set it.",
            "explain-reader may not scale the target itself.",
        ],
    )?;

    // With the right to view, the rest is read, and what may not be done is said.
    let bind = ["create", "rolebinding", "explain-reader", "--clusterrole=view", "--user=explain-reader"];
    shop.kubectl(&bind).await?;
    let seeing = wait::until("the right to view", PATIENCE, async || {
        let seeing = as_user().await?;
        ensure!(seeing.stdout.contains("is held at 3 replicas"), "{seeing:?}");
        Ok(seeing.stdout)
    })
    .await?;
    check(&seeing, &["admin set the lasting count to 3", "explain-reader may neither set it nor unset it."])?;
    ensure!(!seeing.contains("You may not"), "{seeing}");

    // Without a kubeconfig, the server alone is asked.
    let mut plugin = shop.cluster.plugin();
    plugin.env("KUBECONFIG", "/nowhere").args(["explain", "web", "--namespace", &shop.name]);
    plugin.args(["--address", shop.cluster.grpc_address(), "--ca", &ca]);
    let [_, admin, admin_key] = shop.cluster.client_files();
    let alone = outcome(plugin.args(["--cert", &admin, "--key", &admin_key])).await?;
    ensure!(alone.code == Some(0), "{alone:?}");
    check(&alone.stdout, &["is held at 3 replicas", "there is no kubeconfig: looked for /nowhere"])?;
    let lines = alone.stdout.matches("there is no kubeconfig").count();
    assert_eq!(lines, 1, "{alone:?}");
    Ok(())
}

#[tokio::test]
async fn pods_that_are_not_ready_are_explained() -> Result<()> {
    let shop = Namespace::shared("explain-pods").await?;
    let quota = ["create", "quota", "few", "--hard=pods=1"];
    shop.kubectl(&quota).await?;
    wait::until("the quota", PATIENCE, async || {
        let quota = shop.get("resourcequota/few").await?;
        quota.pointer("/status/hard/pods").context("no status").map(drop)
    })
    .await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    let text = wait::until("the reason", PATIENCE, async || {
        let text = explain(&shop, "web").await?;
        ensure!(text.contains("exceeded quota: few"), "{text}");
        Ok(text)
    })
    .await?;
    check(&text, &["It is not ready: ReplicasNotReady: ", "FailedCreate: "])?;
    run(shop.cluster.kubectl().args(["delete", "namespace", &shop.name, "--wait=false"])).await.map(drop)
}
