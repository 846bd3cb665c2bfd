//! Invalid requests: the server refuses each with its status code and a message that names the field.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use support::Namespace;

/// A request that the server refuses.
struct Refused<'a> {
    request: Value,
    code: &'a str,
    /// The start of the status message.
    message: &'a str,
}

async fn assert_refused(shop: &Namespace<'_>, method: &str, refused: Refused<'_>) -> Result<()> {
    let Refused { request, code, message } = refused;
    let refusal = shop.cluster.grpcurl(method, &request).await.err();
    let refusal = refusal.with_context(|| format!("{request} should be refused with {code}"))?;
    assert_eq!(refusal.code, code, "{request}: {refusal}");
    assert!(refusal.message.starts_with(message), "{request}: {:?}, not {message:?}", refusal.message);
    assert!(refusal.output.contains("\"domain\": \"replica-count-manager.io\""), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn an_invalid_set_deployment_is_refused_and_changes_nothing() -> Result<()> {
    let shop = Namespace::shared("refusals").await?;
    shop.deployment("web", 2).await?;
    let long = "x".repeat(300);
    let request = |name: &str, replicas: Value| json!({"Namespace": shop.name, "Name": name, "Replicas": replicas});
    for row in [
        Refused {
            request: request("web", json!(-1)),
            code: "InvalidArgument",
            message: "Replicas must not be negative, and is -1",
        },
        Refused {
            request: json!({"Namespace": shop.name, "Name": "web"}),
            code: "InvalidArgument",
            message: "Replicas must be given",
        },
        Refused {
            request: request("web", json!(10_001)),
            code: "InvalidArgument",
            message: "Replicas must be at most 10000",
        },
        Refused { request: request("", json!(3)), code: "InvalidArgument", message: "Name must not be empty" },
        Refused {
            request: request("a_b", json!(3)),
            code: "InvalidArgument",
            message: "Name \"a_b\" is not a DNS subdomain",
        },
        Refused {
            request: request("Web", json!(3)),
            code: "InvalidArgument",
            message: "Name \"Web\" is not a DNS subdomain",
        },
        Refused {
            request: request(&long, json!(3)),
            code: "InvalidArgument",
            message: "Name is 300 characters long: the most is 242",
        },
        Refused {
            request: json!({"Name": "web", "Replicas": 3}),
            code: "InvalidArgument",
            message: "Namespace must not be empty",
        },
        Refused {
            request: json!({"Namespace": "a/b", "Name": "web", "Replicas": 3}),
            code: "InvalidArgument",
            message: "Namespace \"a/b\" is not",
        },
        Refused {
            request: json!({"Namespace": "nowhere", "Name": "web", "Replicas": 3}),
            code: "NotFound",
            message: "deployment.apps/web in namespace nowhere",
        },
        Refused { request: request("api", json!(3)), code: "NotFound", message: "deployment.apps/api in namespace" },
    ] {
        assert_refused(&shop, "proto.DeploymentsService/SetDeployment", row).await?;
    }
    assert_eq!(shop.kubectl(&["get", "replicacounts", "--output=name"]).await?, "");
    assert_eq!(shop.replicas("deployment/web").await?, 2);
    Ok(())
}

#[tokio::test]
async fn get_deployment_names_the_missing_object() -> Result<()> {
    let shop = Namespace::shared("missing").await?;
    shop.deployment("web", 2).await?;
    let method = "proto.DeploymentsService/GetDeployment";
    let web = json!({"Namespace": shop.name, "Name": "web"});
    // The server's watch may not have received the new Deployment yet.
    shop.wait_until_unmanaged("web").await?;
    assert_refused(
        &shop,
        method,
        Refused { request: web, code: "NotFound", message: "deployment.apps/web in namespace" },
    )
    .await?;
    let api = json!({"Namespace": shop.name, "Name": "api"});
    assert_refused(
        &shop,
        method,
        Refused { request: api, code: "NotFound", message: "deployment.apps/api in namespace" },
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_invalid_set_list_or_watch_of_replica_counts_is_refused() -> Result<()> {
    let shop = Namespace::shared("bad").await?;
    shop.deployment("web", 2).await?;
    let target = json!({"namespace": shop.name, "name": "web"});
    let nowhere = json!({"namespace": "nowhere", "name": "web"});
    for row in [
        Refused { request: json!({"replicas": 3}), code: "InvalidArgument", message: "target must be given" },
        Refused {
            request: json!({"target": target, "replicas": 3, "current": true}),
            code: "InvalidArgument",
            message: "current cannot be combined",
        },
        Refused {
            request: json!({"target": target, "replicas": 3, "expectedReplicas": 9}),
            code: "FailedPrecondition",
            message: "deployment.apps/web in namespace",
        },
        Refused {
            request: json!({"target": target, "replicas": 3, "until": "2001-01-01T00:00:00Z"}),
            code: "InvalidArgument",
            message: "until must be in the future",
        },
        Refused {
            request: json!({"target": {"namespace": "x", "name": "x", "kind": "Pod"}, "replicas": 3}),
            code: "InvalidArgument",
            message: "target.kind cannot be managed: the API server serves no kind Pod in the group apps",
        },
        Refused {
            request: json!({"target": nowhere, "replicas": 3, "allowMissing": true}),
            code: "NotFound",
            message: "namespace nowhere does not exist",
        },
    ] {
        assert_refused(&shop, "replicas.v1.ReplicasService/SetReplicaCount", row).await?;
    }
    let invalid = |request, message| Refused { request, code: "InvalidArgument", message };
    for (method, row) in [
        ("ListReplicaCounts", invalid(json!({"pageSize": -1}), "page_size must not be negative")),
        ("ListReplicaCounts", invalid(json!({"pageToken": "x"}), "page_token was not issued")),
        ("ListReplicaCounts", invalid(json!({"labelSelector": "a in"}), "label_selector \"a in\" is not")),
        ("ListReplicaCounts", invalid(json!({"minResourceVersion": "x"}), "min_resource_version \"x\" is no")),
        ("WatchReplicaCounts", invalid(json!({"labelSelector": "=b"}), "label_selector \"\" is not")),
    ] {
        assert_refused(&shop, &format!("replicas.v1.ReplicasService/{method}"), row).await?;
    }
    assert_eq!(shop.kubectl(&["get", "replicacounts", "--output=name"]).await?, "");
    Ok(())
}

#[tokio::test]
async fn a_read_with_a_field_beyond_its_bound_is_refused() -> Result<()> {
    let shop = Namespace::shared("bounds").await?;
    let invalid = |request, message| Refused { request, code: "InvalidArgument", message };
    let (long, huge) = ("x".repeat(64), "x".repeat(60_000));
    let requirements = vec!["a"; 33].join(",");
    for (method, row) in [
        ("ListReplicaCounts", invalid(json!({"namespace": "a.b"}), "namespace \"a.b\" is not a DNS label")),
        ("ListReplicaCounts", invalid(json!({"namespace": long}), "namespace is 64 characters long")),
        ("WatchReplicaCounts", invalid(json!({"namespace": huge}), "namespace is 60000 characters long")),
        ("WatchReplicaCounts", invalid(json!({"namespace": "Shop"}), "namespace \"Shop\" is not a DNS label")),
        ("ListReplicaCounts", invalid(json!({"pageToken": huge}), "page_token was not issued")),
        ("ListReplicaCounts", invalid(json!({"minResourceVersion": huge}), "min_resource_version is 60000")),
        ("ListReplicaCounts", invalid(json!({"labelSelector": huge}), "label_selector is 60000 bytes long")),
        ("WatchReplicaCounts", invalid(json!({"labelSelector": requirements}), "label_selector has more than 32")),
        (
            "GetReplicaCount",
            invalid(json!({"target": {"namespace": huge, "name": "web"}}), "target.namespace is 60000 characters"),
        ),
        (
            "GetReplicaCount",
            invalid(json!({"target": {"namespace": "a", "name": "web", "kind": huge}}), "target.kind is 60000"),
        ),
    ] {
        assert_refused(&shop, &format!("replicas.v1.ReplicasService/{method}"), row).await?;
    }
    Ok(())
}
