//! Autoscalers: the server refuses a Set of an autoscaled target, and reports the autoscaler after a forced Set.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, Refusal, condition, namespace::ExpectedEvent};

/// An autoscaler of the Deployment `web` that scales without metrics, because its minimum is above the held count.
fn autoscaler(name: &str) -> String {
    manifest(name, "web", 5)
}

/// An autoscaler that scales the Deployment of its name without metrics, if its minimum is above the held count.
pub(crate) fn autoscaler_of(name: &str, minimum: i32) -> String {
    manifest(name, name, minimum)
}

fn manifest(name: &str, target: &str, minimum: i32) -> String {
    format!(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}
  minReplicas: {minimum}
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

/// A target, and how its autoscaler spells it.
struct Spelling {
    name: &'static str,
    /// The group and the kind of the target.
    target: (&'static str, &'static str),
    /// The apiVersion and the kind in `scaleTargetRef`.
    written: (&'static str, &'static str),
    /// Whether the controller of autoscalers finds the target.
    is_scaled: bool,
}

const SPELLINGS: [Spelling; 9] = {
    let deployment = ("apps", "Deployment");
    let controller = ("core", "ReplicationController");
    [
        Spelling { name: "lower", target: deployment, written: ("apps/v1", "deployment"), is_scaled: true },
        Spelling { name: "old", target: deployment, written: ("apps/v1beta1", "Deployment"), is_scaled: true },
        Spelling { name: "odd", target: deployment, written: ("apps/latest", "deployment"), is_scaled: true },
        Spelling { name: "none", target: deployment, written: ("apps/", "Deployment"), is_scaled: true },
        Spelling { name: "set", target: ("apps", "StatefulSet"), written: ("apps/v1", "statefulset"), is_scaled: true },
        Spelling { name: "core", target: controller, written: ("v1", "ReplicationController"), is_scaled: true },
        Spelling { name: "slash", target: controller, written: ("/v2", "ReplicationController"), is_scaled: true },
        Spelling { name: "upper", target: deployment, written: ("apps/v1", "DEPLOYMENT"), is_scaled: false },
        Spelling { name: "named", target: controller, written: ("core/v1", "replicationcontroller"), is_scaled: false },
    ]
};

impl Spelling {
    /// The target with three replicas, and its autoscaler.
    fn manifest(&self) -> Value {
        let Self { name, target: (group, kind), written, .. } = self;
        let labels = json!({"app": name});
        let selector = if *group == "apps" { json!({"matchLabels": labels}) } else { labels.clone() };
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x"}]}});
        let mut target = json!({
            "apiVersion": if *group == "apps" { "apps/v1" } else { "v1" }, "kind": kind, "metadata": {"name": name},
            "spec": {"replicas": 3, "selector": selector, "template": template},
        });
        // Kubernetes 1.30 refuses a StatefulSet without it.
        if *kind == "StatefulSet" {
            target["spec"]["serviceName"] = "set".into();
        }
        let mut autoscaler: Value = serde_yaml::from_str(&autoscaler(name)).unwrap_or_default();
        autoscaler["spec"]["scaleTargetRef"] = json!({"apiVersion": written.0, "kind": written.1, "name": name});
        json!({"apiVersion": "v1", "kind": "List", "items": [target, autoscaler]})
    }

    /// Waits until the controller of autoscalers has found the target or not.
    async fn wait_for_controller(&self, shop: &Namespace<'_>) -> Result<()> {
        let Self { name, is_scaled, .. } = self;
        let able = if *is_scaled { "True" } else { "False" };
        let object = format!("horizontalpodautoscaler/{name}");
        wait::until(&format!("AbleToScale {able} of {name}"), PATIENCE, async || {
            let autoscaler = shop.get(&object).await?;
            let is = condition(&autoscaler, "AbleToScale").map(|(status, _)| status);
            ensure!(is == Some(able), "it is {autoscaler}");
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn whatever_the_controller_of_autoscalers_scales_counts_as_autoscaled() -> Result<()> {
    let shop = Namespace::shared("spelled").await?;
    for spelling in &SPELLINGS {
        shop.kubectl_with(&["create", "--filename=-"], &spelling.manifest().to_string()).await?;
    }
    for spelling in &SPELLINGS {
        spelling.wait_for_controller(&shop).await?;
        let Spelling { name, target: (group, kind), is_scaled, .. } = spelling;
        let target = json!({"namespace": shop.name, "group": group, "kind": kind, "name": name});
        let set = async |force: bool| {
            let request = json!({"target": target, "replicas": 2, "force": force});
            shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await
        };
        let refusal = set(false).await.err().map(|refusal| refusal.message).unwrap_or_default();
        let expected = format!("HorizontalPodAutoscaler {name} scales ");
        assert_eq!(refusal.starts_with(&expected), *is_scaled, "{name}: {refusal:?}");
        assert_eq!(refusal.is_empty(), !is_scaled, "{name}: {refusal:?}");
        set(true).await?;
    }
    for Spelling { name, target: (group, kind), is_scaled, .. } in &SPELLINGS {
        let group = if *group == "apps" { "" } else { "core." };
        let count = format!("{}.{group}{name}", kind.to_lowercase());
        let is = if *is_scaled { ("True", "Autoscaled") } else { ("False", "Uncontested") };
        shop.wait_for_replica_count(&count, &format!("Contested {is:?} of {name}"), |count| {
            condition(count, "Contested") == Some(is)
        })
        .await?;
    }
    Ok(())
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
