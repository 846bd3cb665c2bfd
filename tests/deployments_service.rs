//! `proto.DeploymentsService`, called by grpcurl as in its documentation.

use anyhow::Result;
use serde_json::json;

use support::Namespace;

#[tokio::test]
async fn a_count_is_set_read_and_listed() -> Result<()> {
    let shop = Namespace::shared("facade").await?;
    shop.deployment("web", 2).await?;
    let call = async |method: &str, request| {
        shop.cluster.grpcurl(&format!("proto.DeploymentsService/{method}"), &request).await
    };
    let named = json!({"Name": "web", "Namespace": shop.name});

    let first = call("SetDeployment", json!({"Name": "web", "Namespace": shop.name, "Replicas": 3})).await?;
    assert_eq!(first, json!({"Name": "web", "Namespace": shop.name, "NewReplicas": 3}), "there was no count before");
    shop.wait_for_replicas("deployment/web", 3).await?;

    // The server accepts both spellings of the field names.
    let second = call("SetDeployment", json!({"name": "web", "namespace": shop.name, "replicas": 0})).await?;
    assert_eq!(second, json!({"Name": "web", "Namespace": shop.name, "OldReplicas": 3, "NewReplicas": 0}));
    shop.wait_for_replicas("deployment/web", 0).await?;
    shop.wait_for_replica_count("deployment.web", "no replicas", |count| count["status"]["observed"] == 0).await?;
    let got = call("GetDeployment", named).await?;
    assert_eq!(got, json!({"Name": "web", "Namespace": shop.name, "CurrentReplicas": 0, "DesiredReplicas": 0}));

    let listed = call("ListDeployments", json!({"namespace": shop.name})).await?;
    let config = json!({"Name": "web", "Namespace": shop.name, "Replicas": 0});
    assert_eq!(listed, json!({"deploymentsReplicaConfig": [config]}));
    Ok(())
}

#[tokio::test]
async fn a_list_contains_only_deployments_of_all_namespaces() -> Result<()> {
    let (one, two) = (Namespace::shared("one").await?, Namespace::shared("two").await?);
    for namespace in [&one, &two] {
        namespace.deployment("web", 1).await?;
        namespace.stateful_set("db", 1).await?;
        namespace.set("web", 1).await?;
        let target = json!({"namespace": namespace.name, "kind": "StatefulSet", "name": "db"});
        let request = json!({"target": target, "replicas": 1});
        namespace.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await?;
    }
    one.wait_for_replica_count("deployment.web", "the first", |_| true).await?;
    two.wait_for_replica_count("statefulset.db", "the last", |count| count["status"]["observed"] == 1).await?;
    let listed = one.cluster.grpcurl("proto.DeploymentsService/ListDeployments", &json!({})).await?;
    let entries = listed["deploymentsReplicaConfig"].as_array().cloned().unwrap_or_default();
    for namespace in [&one, &two] {
        let own: Vec<_> = entries.iter().filter(|entry| entry["Namespace"] == namespace.name).collect();
        assert_eq!(own, [&json!({"Name": "web", "Namespace": namespace.name, "Replicas": 1})]);
    }
    Ok(())
}

#[tokio::test]
async fn the_documented_grpcurl_call_works() -> Result<()> {
    let shop = Namespace::shared("letter").await?;
    shop.deployment("web", 2).await?;
    shop.set("web", 3).await?;
    let [ca, certificate, key] = shop.cluster.client_files();
    let flags = ["-cacert", &ca, "-cert", &certificate, "-key", &key, "-proto", "proto/deployments.proto"];
    let request = json!({"Namespace": shop.name});
    // grpcurl accepts a dot instead of the last slash.
    let listed = shop.cluster.grpcurl_with(&flags, "proto.DeploymentsService.ListDeployments", &request).await?;
    assert_eq!(listed["deploymentsReplicaConfig"][0]["Replicas"], 3);
    Ok(())
}
