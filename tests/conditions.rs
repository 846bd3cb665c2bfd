//! The conditions that need a state of their own: targets that come and go, corrections that wait, and the end of the
//! management. `server/src/resources/conditions.rs` says where each reason is provoked.

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, condition, manifests::ReplicaCountManifest};

/// Waits until `Ready` of a Deployment's ReplicaCount has this status and reason.
async fn wait_for_ready(shop: &Namespace<'_>, name: &str, expected: (&str, &str)) -> Result<Value> {
    let is = |count: &Value| condition(count, "Ready") == Some(expected);
    shop.wait_for_replica_count(&format!("deployment.{name}"), &format!("Ready {expected:?}"), is).await
}

#[tokio::test]
async fn a_target_comes_and_goes() -> Result<()> {
    let shop = Namespace::shared("comes").await?;
    shop.kubectl_with(&["create", "--filename=-"], &ReplicaCountManifest::deployment("web").manifest()).await?;
    let count = wait_for_ready(&shop, "web", ("False", "TargetNotFound")).await?;
    assert_eq!(condition(&count, "TargetFound"), Some(("False", "NotFound")), "{count}");
    shop.deployment("web", 2).await?;
    let count = wait_for_ready(&shop, "web", ("True", "InPlace")).await?;
    assert_eq!(condition(&count, "TargetFound"), Some(("True", "Found")), "{count}");
    assert_eq!(condition(&count, "Contested"), Some(("False", "Uncontested")), "{count}");

    let finalizers = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}}).to_string();
    let patch = async |body: &str| shop.kubectl(&["patch", "deployment/web", "--type=merge", "--patch", body]).await;
    patch(&finalizers(json!(["example.com/wait"]))).await?;
    shop.kubectl(&["delete", "deployment/web", "--wait=false"]).await?;
    let count = wait_for_ready(&shop, "web", ("False", "TargetTerminating")).await?;
    assert_eq!(condition(&count, "TargetFound"), Some(("True", "Found")), "{count}");
    patch(&finalizers(Value::Null)).await?;
    wait_for_ready(&shop, "web", ("False", "TargetNotFound")).await.map(drop)
}

#[tokio::test]
async fn a_replica_count_that_waits_for_a_finalizer_holds_nothing() -> Result<()> {
    let shop = Namespace::shared("finalized").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    wait_for_ready(&shop, "web", ("True", "InPlace")).await?;
    let patch = async |finalizers: Value| {
        let body = json!({"metadata": {"finalizers": finalizers}}).to_string();
        shop.kubectl(&["patch", "replicacount/deployment.web", "--type=merge", "--patch", &body]).await
    };
    patch(json!(["example.com/wait"])).await?;
    let target = json!({"namespace": shop.name, "name": "web"});
    let unset = json!({"target": target});
    let done = shop.cluster.grpcurl("replicas.v1.ReplicasService/UnsetReplicaCount", &unset).await?;
    ensure!(done["warnings"].to_string().contains("it waits for its finalizers example.com/wait"), "{done}");
    let count = wait_for_ready(&shop, "web", ("False", "ReplicaCountTerminating")).await?;
    assert_eq!((&count["status"]["desired"], &count["status"]["drifts"]), (&Value::Null, &0.into()), "{count}");
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    let sees = |count: &Value| count["status"]["observed"] == 7;
    let count = shop.wait_for_replica_count("deployment.web", "the new count", sees).await?;
    assert_eq!(condition(&count, "Ready"), Some(("False", "ReplicaCountTerminating")), "{count}");
    assert_eq!((&count["status"]["drifts"], shop.replicas("deployment/web").await?), (&0.into(), 7), "{count}");
    let (set, restore) = (json!({"target": target, "replicas": 4}), json!({"target": target, "restore": true}));
    let get = json!({"Name": "web", "Namespace": shop.name});
    for (method, request, code, message) in [
        ("replicas.v1.ReplicasService/SetReplicaCount", set, "FailedPrecondition", "Try again once it is gone."),
        ("replicas.v1.ReplicasService/UnsetReplicaCount", restore, "FailedPrecondition", "cannot be put back"),
        ("proto.DeploymentsService/GetDeployment", get, "NotFound", "is not managed"),
    ] {
        let refusal = shop.cluster.grpcurl(method, &request).await.err().context("should be refused")?;
        ensure!(refusal.code == code && refusal.message.contains(message), "{method}: {refusal}");
    }
    let all = json!({"namespace": shop.name});
    let listed = shop.cluster.grpcurl("proto.DeploymentsService/ListDeployments", &all).await?;
    ensure!(listed["deploymentsReplicaConfig"].as_array().is_none_or(Vec::is_empty), "{listed}");
    patch(Value::Null).await?;
    shop.wait_until_unmanaged("web").await?;
    shop.set("web", 4).await?;
    wait_for_ready(&shop, "web", ("True", "InPlace")).await.map(drop)
}

#[tokio::test]
async fn a_correction_that_waits_is_said() -> Result<()> {
    let shop = Namespace::shared("waits").await?;
    shop.deployment("web", 3).await?;
    shop.set("web", 3).await?;
    wait_for_ready(&shop, "web", ("True", "InPlace")).await?;
    // From the eleventh correction in a minute on, they are 5 s apart.
    for _ in 0..10 {
        shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
        shop.wait_for_replicas("deployment/web", 3).await?;
    }
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    let count = wait_for_ready(&shop, "web", ("False", "Correcting")).await?;
    assert_eq!((&count["status"]["observed"], &count["status"]["desired"]), (&7.into(), &3.into()), "{count}");
    wait_for_ready(&shop, "web", ("True", "InPlace")).await.map(drop)
}

#[tokio::test]
async fn a_kind_that_cannot_be_scaled_is_said() -> Result<()> {
    let shop = Namespace::shared("unscalable").await?;
    let count = ReplicaCountManifest::deployment("settings").name("configmap.core.settings").of_kind("v1", "ConfigMap");
    shop.kubectl_with(&["create", "--filename=-"], &count.manifest()).await?;
    let is = |count: &Value| condition(count, "TargetFound") == Some(("Unknown", "KindNotScalable"));
    let count = shop.wait_for_replica_count("configmap.core.settings", "the kind", is).await?;
    assert_eq!(condition(&count, "Ready"), Some(("False", "KindNotScalable")), "{count}");
    Ok(())
}

/// A policy of one namespace that refuses each deletion of a ReplicaCount.
async fn refuse_deletions(shop: &Namespace<'_>) -> Result<()> {
    let name = &shop.name;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["replica-count-manager.io"], "apiVersions": ["v1"], "operations": ["DELETE"],
                "resources": ["replicacounts"],
            }]},
            "validations": [{"expression": "false", "message": "it has to stay"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        }},
    });
    for object in [policy, binding] {
        shop.kubectl_with(&["create", "--filename=-"], &object.to_string()).await?;
    }
    shop.kubectl_with(&["create", "--filename=-"], &ReplicaCountManifest::deployment("probe").manifest()).await?;
    wait::until("the policy", PATIENCE, async || {
        let deleted = shop.kubectl(&["delete", "replicacount/deployment.probe", "--dry-run=server"]).await;
        let refusal = deleted.err().context("it is not in force")?;
        ensure!(refusal.to_string().contains("it has to stay"), "{refusal}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_end_of_the_management_is_said_until_the_object_is_gone() -> Result<()> {
    let shop = Namespace::shared("stays").await?;
    for name in ["sale", "web"] {
        shop.deployment(name, 2).await?;
        shop.set(name, 3).await?;
        wait_for_ready(&shop, name, ("True", "InPlace")).await?;
    }
    refuse_deletions(&shop).await?;
    let until = (jiff::Timestamp::now() + std::time::Duration::from_secs(3)).to_string();
    let target = json!({"namespace": shop.name, "name": "sale"});
    let over = json!({"target": target, "replicas": 4, "until": until, "thenUnset": true});
    shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &over).await?;
    wait_for_ready(&shop, "sale", ("False", "OverrideEnded")).await?;

    // What `unset --restore` writes, and by whom. The patch makes this the second generation.
    let restore =
        json!({"metadata": {"annotations": {"replica-count-manager.io/restore": "2 alice"}}, "spec": {"replicas": 2}});
    let patch = ["patch", "replicacount/deployment.web", "--type=merge", "--patch"];
    let restore = restore.to_string();
    shop.kubectl(&[&patch[..], &[&restore, "--field-manager=replica-count-manager"]].concat()).await?;
    let count = wait_for_ready(&shop, "web", ("False", "Restored")).await?;
    assert_eq!(count["status"]["observed"], 2, "{count}");
    assert_eq!(count["status"]["changes"][0]["by"], "alice", "{count}");

    // Another count cancels the restore for good, even if the first one returns.
    for replicas in [7, 2] {
        let another = json!({"spec": {"replicas": replicas}}).to_string();
        shop.kubectl(&[&patch[..], &[&another]].concat()).await?;
        wait_for_ready(&shop, "web", ("True", "InPlace")).await?;
        assert_eq!(shop.replicas("deployment/web").await?, replicas);
    }
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        run(shop.cluster.kubectl().args(["delete", kind, &shop.name])).await?;
    }
    Ok(())
}
