//! Autoscalers: the server refuses a Set of an autoscaled target, and reports the autoscaler after a forced Set.

use anyhow::{Context, Result};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, Refusal, condition, namespace::ExpectedEvent};

/// An autoscaler that scales without metrics, because its minimum is above the held count.
fn autoscaler(name: &str) -> String {
    format!(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  minReplicas: 5
  maxReplicas: 9
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
"
    )
}

async fn set(shop: &Namespace<'_>, force: bool) -> Result<Value, Refusal> {
    let target = json!({"namespace": shop.name, "name": "web"});
    let request = json!({"target": target, "replicas": 3, "force": force});
    shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await
}

/// Waits until a condition has this status and reason, and returns its message.
async fn wait_for_contested(shop: &Namespace<'_>, status: &str, reason: &str) -> Result<String> {
    let what = format!("Contested {status} {reason}");
    let is = |count: &Value| condition(count, "Contested") == Some((status, reason));
    let count = shop.wait_for_replica_count("deployment.web", &what, is).await?;
    let conditions = count.pointer("/status/conditions").and_then(Value::as_array).context("no conditions")?;
    let contested = conditions.iter().find(|one| one["type"] == "Contested").context("no condition")?;
    Ok(contested["message"].as_str().unwrap_or_default().to_owned())
}

/// Waits for the Event of the Deployment that names the autoscaler.
async fn wait_for_autoscaled_event(shop: &Namespace<'_>, autoscaler: &str) -> Result<()> {
    ExpectedEvent { namespace: &shop.name, kind: "Deployment", reason: "Autoscaled", note: autoscaler }
        .wait(shop.cluster)
        .await
}

#[tokio::test]
async fn a_set_on_an_autoscaled_target_is_refused_unless_it_is_forced() -> Result<()> {
    let shop = Namespace::shared("autoscaled").await?;
    shop.deployment("web", 3).await?;
    shop.kubectl_with(&["create", "--filename=-"], &autoscaler("web-cpu")).await?;
    let refusal = wait::until("the refusal", PATIENCE, async || {
        // The server's watch may not have received the autoscaler yet.
        let refusal = set(&shop, false).await.err();
        if refusal.is_none() {
            shop.kubectl(&["delete", "replicacount/deployment.web"]).await?;
        }
        refusal.context("it was accepted")
    })
    .await?;
    assert_eq!(refusal.code, "FailedPrecondition", "{refusal}");
    assert!(refusal.message.starts_with("HorizontalPodAutoscaler web-cpu scales deployment.apps/web"), "{refusal}");
    assert!(refusal.output.contains("AUTOSCALED"), "{refusal}");

    set(&shop, true).await?;
    let message = wait_for_contested(&shop, "True", "Autoscaled").await?;
    assert!(message.starts_with("HorizontalPodAutoscaler web-cpu scales this target too"), "{message}");
    wait_for_autoscaled_event(&shop, "web-cpu").await?;
    // The autoscaler scales every 15 s.
    let status = shop.wait_for_drifts("deployment.web", 2).await?;
    assert_eq!((&status["lastDrift"]["manager"], &status["observed"]), (&json!("kube-controller-manager"), &json!(3)));
    shop.kubectl(&["delete", "horizontalpodautoscaler/web-cpu"]).await?;
    wait::until("a Set that is not forced", PATIENCE, async || Ok(set(&shop, false).await?)).await?;
    wait_for_contested(&shop, "False", "Uncontested").await.map(drop)
}

#[tokio::test]
async fn the_status_names_an_autoscaler_while_it_exists() -> Result<()> {
    let shop = Namespace::shared("later").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    wait_for_contested(&shop, "False", "Uncontested").await?;
    shop.kubectl_with(&["create", "--filename=-"], &autoscaler("keda-hpa-web")).await?;
    let message = wait_for_contested(&shop, "True", "Autoscaled").await?;
    assert!(message.contains("keda-hpa-web"), "{message}");
    wait_for_autoscaled_event(&shop, "keda-hpa-web").await?;
    shop.kubectl(&["delete", "horizontalpodautoscaler/keda-hpa-web"]).await?;
    wait_for_contested(&shop, "False", "Uncontested").await.map(drop)
}

#[tokio::test]
async fn repeated_drifts_make_a_target_contested_until_the_next_set() -> Result<()> {
    let shop = Namespace::shared("fight").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    for drifts in 1..=3 {
        shop.wait_for_replicas("deployment/web", 3).await?;
        shop.kubectl(&["scale", "deployment/web", "--replicas=6"]).await?;
        shop.wait_for_drifts("deployment.web", drifts).await?;
    }
    let message = wait_for_contested(&shop, "True", "RepeatedDrift").await?;
    assert!(message.starts_with("kubectl keeps changing the count"), "{message}");
    shop.set("web", 4).await?;
    wait_for_contested(&shop, "False", "Uncontested").await.map(drop)
}
