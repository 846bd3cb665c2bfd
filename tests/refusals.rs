//! Bad input: each kind with its status code, and a message that names the field.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use support::Namespace;

async fn refused(shop: &Namespace<'_>, method: &str, request: Value, code: &str, message: &str) -> Result<()> {
    let refusal = shop.world.grpcurl(method, &request).await.err();
    let refusal = refusal.with_context(|| format!("{request} should be refused with {code}"))?;
    assert_eq!(refusal.code, code, "{request}: {refusal}");
    assert!(refusal.message.starts_with(message), "{request}: {:?}, not {message:?}", refusal.message);
    assert!(refusal.output.contains("\"domain\": \"replica-count-manager.io\""), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn a_bad_set_deployment_is_refused_and_changes_nothing() -> Result<()> {
    let shop = Namespace::shared("refusals").await?;
    shop.deployment("web", 2).await?;
    let long = "x".repeat(300);
    let request = |name: &str, replicas: Value| json!({"Namespace": shop.name, "Name": name, "Replicas": replicas});
    for (request, code, message) in [
        (request("web", json!(-1)), "InvalidArgument", "Replicas must not be negative, and is -1"),
        (json!({"Namespace": shop.name, "Name": "web"}), "InvalidArgument", "Replicas must be given"),
        (request("web", json!(10_001)), "InvalidArgument", "Replicas must be at most 10000"),
        (request("", json!(3)), "InvalidArgument", "Name must not be empty"),
        (request("a_b", json!(3)), "InvalidArgument", "Name \"a_b\" is not a DNS subdomain"),
        (request("Web", json!(3)), "InvalidArgument", "Name \"Web\" is not a DNS subdomain"),
        (request(&long, json!(3)), "InvalidArgument", "Name is 300 characters long: the most is 242"),
        (json!({"Name": "web", "Replicas": 3}), "InvalidArgument", "Namespace must not be empty"),
        (json!({"Namespace": "a/b", "Name": "web", "Replicas": 3}), "InvalidArgument", "Namespace \"a/b\" is not"),
        (
            json!({"Namespace": "nowhere", "Name": "web", "Replicas": 3}),
            "NotFound",
            "deployment.apps/web in namespace nowhere",
        ),
        (request("api", json!(3)), "NotFound", "deployment.apps/api in namespace"),
    ] {
        refused(&shop, "proto.DeploymentsService/SetDeployment", request, code, message).await?;
    }
    assert_eq!(shop.kubectl(&["get", "replicacounts", "--output=name"]).await?, "");
    assert_eq!(shop.replicas("deployment/web").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_get_says_what_is_missing() -> Result<()> {
    let shop = Namespace::shared("missing").await?;
    shop.deployment("web", 2).await?;
    let method = "proto.DeploymentsService/GetDeployment";
    let web = json!({"Namespace": shop.name, "Name": "web"});
    // The watch may not have shown the new Deployment yet.
    shop.forgotten("web").await?;
    refused(&shop, method, web, "NotFound", "deployment.apps/web in namespace").await?;
    let api = json!({"Namespace": shop.name, "Name": "api"});
    refused(&shop, method, api, "NotFound", "deployment.apps/api in namespace").await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_set_replica_count_is_refused() -> Result<()> {
    let shop = Namespace::shared("bad").await?;
    shop.deployment("web", 2).await?;
    let target = json!({"namespace": shop.name, "name": "web"});
    let nowhere = json!({"namespace": "nowhere", "name": "web"});
    for (request, code, message) in [
        (json!({"replicas": 3}), "InvalidArgument", "target must be given"),
        (json!({"target": target, "replicas": 3, "current": true}), "InvalidArgument", "current cannot be combined"),
        (
            json!({"target": target, "replicas": 3, "expectedReplicas": 9}),
            "FailedPrecondition",
            "deployment.apps/web in namespace",
        ),
        (
            json!({"target": target, "replicas": 3, "until": "2001-01-01T00:00:00Z"}),
            "InvalidArgument",
            "until must be in the future",
        ),
        (
            json!({"target": {"namespace": "x", "name": "x", "kind": "Pod"}, "replicas": 3}),
            "InvalidArgument",
            "target.kind cannot be managed: the API server serves no kind Pod in the group apps",
        ),
        (
            json!({"target": nowhere, "replicas": 3, "allowMissing": true}),
            "NotFound",
            "namespace nowhere does not exist",
        ),
    ] {
        refused(&shop, "replicas.v1.ReplicasService/SetReplicaCount", request, code, message).await?;
    }
    for (method, request, message) in [
        ("ListReplicaCounts", json!({"pageSize": -1}), "page_size must not be negative"),
        ("ListReplicaCounts", json!({"pageToken": "x"}), "page_token was not issued"),
        ("ListReplicaCounts", json!({"labelSelector": "a in"}), "label_selector \"a in\" is not"),
        ("ListReplicaCounts", json!({"minResourceVersion": "x"}), "min_resource_version \"x\" is no"),
        ("WatchReplicaCounts", json!({"labelSelector": "=b"}), "label_selector \"\" is not"),
    ] {
        refused(&shop, &format!("replicas.v1.ReplicasService/{method}"), request, "InvalidArgument", message).await?;
    }
    assert_eq!(shop.kubectl(&["get", "replicacounts", "--output=name"]).await?, "");
    Ok(())
}
