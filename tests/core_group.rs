//! ReplicationControllers, whose API group has an empty name: they are held like every other kind.

use anyhow::Result;
use serde_json::{Value, json};

use support::{Namespace, Refusal, condition, outcome};

/// The ReplicationController `hello` with this count.
fn controller(replicas: i32) -> String {
    let template = json!({"metadata": {"labels": {"app": "hello"}},
                          "spec": {"containers": [{"name": "main", "image": "example"}]}});
    json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "hello"},
           "spec": {"replicas": replicas, "selector": {"app": "hello"}, "template": template}})
    .to_string()
}

async fn done(shop: &Namespace<'_>, line: &str) -> Result<String> {
    let outcome = outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await?;
    assert_eq!(outcome.code, Some(0), "{line}: {outcome:?}");
    Ok(outcome.stdout)
}

#[tokio::test]
async fn a_replication_controller_is_set_held_shown_and_restored() -> Result<()> {
    let shop = Namespace::shared("core").await?;
    // The ownership of the count is given back to this applier.
    let apply = ["apply", "--server-side", "--field-manager=gitops", "--filename=-"];
    shop.kubectl_with(&apply, &controller(2)).await?;

    let set = done(&shop, "set rc/hello 3").await?;
    assert_eq!(set, "replicationcontroller.core/hello set to 3 (was not managed)\n");
    shop.wait_for_replicas("replicationcontroller/hello", 3).await?;
    shop.kubectl(&["scale", "replicationcontroller/hello", "--replicas=7"]).await?;
    let status = shop.wait_for_drifts("replicationcontroller.core.hello", 1).await?;
    assert_eq!((&status["lastDrift"]["manager"], &status["appliers"]), (&json!("kubectl"), &json!(["gitops"])));
    shop.kubectl_with(&apply, &controller(5)).await?;
    shop.wait_for_drifts("replicationcontroller.core.hello", 2).await?;
    let is_ready =
        |count: &Value| condition(count, "Ready") == Some(("True", "InPlace")) && count["status"]["ready"] == 3;
    let count =
        shop.wait_for_replica_count("replicationcontroller.core.hello", "three ready replicas", is_ready).await?;
    let target = json!({"apiVersion": "v1", "kind": "ReplicationController", "name": "hello"});
    assert_eq!(count["spec"]["scaleTargetRef"], target);

    assert_eq!(done(&shop, "list -o name").await?, "replicationcontroller.core/hello\n");
    let all = done(&shop, "list --all-targets -o name").await?;
    assert!(all.contains("replicationcontroller.core/hello\n"), "{all}");
    for word in ["replicationcontroller/hello", "replicationcontrollers.core/hello"] {
        assert!(done(&shop, &format!("get {word}")).await?.contains("gitops"));
    }
    done(&shop, "unset replicationcontroller.core/hello --restore").await?;
    shop.wait_for_replicas("replicationcontroller/hello", 2).await
}

#[tokio::test]
async fn the_wire_calls_the_group_core() -> Result<()> {
    let shop = Namespace::shared("wire").await?;
    shop.kubectl_with(&["create", "--filename=-"], &controller(1)).await?;
    let set = async |group: &str| -> Result<Value, Refusal> {
        let target = json!({"namespace": shop.name, "group": group, "kind": "ReplicationController", "name": "hello"});
        shop.cluster
            .grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &json!({"target": target, "replicas": 2}))
            .await
    };
    let refusal = set("").await.err().map(|refusal| refusal.message).unwrap_or_default();
    assert!(refusal.contains("no kind ReplicationController in the group apps"), "{refusal}");
    let answer = set("core").await?;
    assert_eq!(answer.pointer("/replicaCount/target/group"), Some(&json!("core")), "{answer}");
    shop.wait_for_replicas("replicationcontroller/hello", 2).await
}
