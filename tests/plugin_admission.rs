//! What the plugin shows of admission: the person, the attempts, whether a target is guarded, and what `doctor` finds.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, Outcome, PATIENCE, TestCluster, manifests::Workload, outcome};

use crate::admission::{guarded_cluster, recording_cluster};

const PERSON: &str = "alice@example.com";

async fn plugin(shop: &Namespace<'_>, arguments: &[&str]) -> Result<Outcome> {
    let outcome = outcome(shop.cluster.plugin().args(arguments).args(["--namespace", &shop.name])).await?;
    ensure!(outcome.code == Some(0), "{arguments:?}: {outcome:?}");
    Ok(outcome)
}

/// Checks that the output of a command has these parts.
async fn check(shop: &Namespace<'_>, arguments: &[&str], parts: &[&str]) -> Result<()> {
    let Outcome { stdout, .. } = plugin(shop, arguments).await?;
    for part in parts {
        ensure!(stdout.contains(part), "{arguments:?}: {part:?} is missing in {stdout}");
    }
    Ok(())
}

/// A namespace with the Deployment `web`, held at 3, whose writes are reviewed.
async fn held<'a>(cluster: &'a TestCluster, purpose: &str, admission: &str) -> Result<Namespace<'a>> {
    let shop = Namespace::new(cluster, purpose).await?;
    shop.create(&Workload::deployment("web").replicas(3).without_pods()).await?;
    plugin(&shop, &["set", "web", "3", "--reason", "load test"]).await?;
    let is_reviewed = |count: &Value| count["status"]["admission"] == admission;
    shop.wait_for_replica_count("deployment.web", admission, is_reviewed).await?;
    Ok(shop)
}

#[tokio::test]
async fn a_drift_is_shown_with_its_person() -> Result<()> {
    let cluster = recording_cluster().await?;
    let shop = held(&cluster, "people", "recorded").await?;
    let person = format!("--as={PERSON}");
    // On a busy machine, the API server may give a review up.
    for number in 1..=5 {
        shop.kubectl(&["scale", "deployment/web", "--replicas=7", &person, "--as-group=system:masters"]).await?;
        let count = shop.wait_for_drifts("deployment.web", number).await?;
        shop.wait_for_replicas("deployment/web", 3).await?;
        if count["status"]["lastDrift"]["user"] == PERSON {
            break;
        }
    }
    let line = format!("Drift user:      {PERSON}\n");
    wait::until("the person in the answers", PATIENCE, async || {
        check(&shop, &["get", "web"], &[&line, "Admission:       recorded\n"]).await
    })
    .await?;
    check(&shop, &["list", "-o", "wide"], &["   USER   ", &format!("   {PERSON}   "), "   recorded   "]).await?;
    check(&shop, &["history", "web"], &[&format!("   {PERSON} (kubectl, Update of scale)   ")]).await?;
    check(&shop, &["blame"], &["   LAST USER ", &format!("   {PERSON}   ")]).await?;
    check(&shop, &["explain", "web"], &[&format!("{PERSON} changed the count from 3 to 7 "), " ago with kubectl, "])
        .await
}

#[tokio::test]
async fn an_attempt_is_shown_with_its_person() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = held(&cluster, "shown", "guarded").await?;
    let scale = ["scale", "deployment/web", "--replicas=7", "--as=mallory", "--as-group=system:masters"];
    let refusal = shop.kubectl(&scale).await.err().context("it was stored")?;
    ensure!(format!("{refusal:?}").contains("is held at 3 by admin (load test)"), "{refusal:?}");
    let is_counted = |count: &Value| count["status"]["attempts"] == 1;
    shop.wait_for_replica_count("deployment.web", "the attempt", is_counted).await?;
    // The replica that answers may learn of the status a moment later.
    wait::until("the attempt in the answers", PATIENCE, async || {
        let attempt =
            ["Admission:       guarded\n", "Attempts:        1\n", "Last attempt:    mallory", "->7, ", ", denied"];
        check(&shop, &["get", "web"], &attempt).await
    })
    .await?;
    check(&shop, &["list", "-o", "wide"], &["   ADMISSION   ", "   guarded   "]).await?;
    check(&shop, &["history", "web"], &["   attempt 1   ", "   mallory", "   denied\n"]).await?;
    let sentence = "mallory tried to change the count from 3 to 7 ";
    check(&shop, &["explain", "web"], &[sentence, ": the guard refused it.\n", "3 is stored instead"]).await?;
    let document: Value = serde_json::from_str(&plugin(&shop, &["get", "web", "-o", "json"]).await?.stdout)?;
    let last = &document["lastAttempt"];
    assert_eq!((&document["admission"], &document["attempts"]), (&json!("guarded"), &json!(1)));
    assert_eq!((&last["user"], &last["to"], &last["verdict"]), (&json!("mallory"), &json!(7), &json!("denied")));
    Ok(())
}

#[tokio::test]
async fn set_pauses_an_autoscaler_without_force_and_says_until_when() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "paused").await?;
    shop.create(&Workload::deployment("web").replicas(2).without_pods()).await?;
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web-cpu"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 9},
    });
    shop.kubectl_with(&["create", "--filename=-"], &autoscaler.to_string()).await?;
    // The server learns of it a moment later.
    wait::until("the warning", PATIENCE, async || {
        let set = plugin(&shop, &["set", "web", "3", "--for", "2h"]).await?;
        ensure!(
            set.stderr.contains("HorizontalPodAutoscaler web-cpu is paused while the count is held, until "),
            "{set:?}"
        );
        Ok(())
    })
    .await?;
    let paused = "HorizontalPodAutoscaler web-cpu is paused while the count is held";
    wait::until("the condition", PATIENCE, async || check(&shop, &["explain", "web"], &[paused]).await).await
}

#[tokio::test]
async fn doctor_finds_webhooks_that_take_effect() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = held(&cluster, "doctor", "guarded").await?;
    let checkup: Value = serde_json::from_str(&plugin(&shop, &["doctor", "-o", "json"]).await?.stdout)?;
    let find = |name: &str| {
        let mut checks = checkup["checks"].as_array().into_iter().flatten();
        checks.find(|check| check["name"] == name).with_context(|| format!("no {name} in {checkup}"))
    };
    for (name, message) in [
        ("admission-webhooks", "the mode is guard; 4 webhooks, each ignored after 1 s"),
        ("admission-endpoint", "which leads"),
        ("admission-dry-run", "is refused"),
    ] {
        let check = find(name)?;
        ensure!(check["status"] == "passed", "{check}");
        ensure!(check["message"].as_str().is_some_and(|text| text.contains(message)), "{check}");
    }
    // Targets of other tests may have been held for a moment only.
    ensure!(find("admission-targets")?["status"] != "failed", "{checkup}");
    Ok(())
}
