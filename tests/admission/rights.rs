//! The fence around the server's rights to its webhooks: it may write the CA and the path of its own webhooks, and the
//! address of its leader.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use super::guarded_cluster;
use support::{
    Namespace, PATIENCE,
    admission::{self, CONFIGURATION},
    release::{ADMISSION_SERVICE, NAME},
};

/// A webhook configuration of others, and an EndpointSlice.
fn of_others(shop: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": shop},
            "webhooks": [{
                "name": "other.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Ignore", "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
                           "resources": ["examples"]}],
            }],
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": shop, "namespace": NAME},
            "addressType": "IPv4", "endpoints": [],
        },
    ]})
}

async fn create_of_others(shop: &Namespace<'_>) -> Result<()> {
    let file = shop.cluster.folder().join(format!("{}.json", shop.name));
    std::fs::write(&file, of_others(&shop.name).to_string())?;
    cluster::run(shop.cluster.kubectl().args(["create", "--filename"]).arg(file)).await.map(drop)
}

/// A dry run of kubectl as the server's account, with all rights of RBAC. Returns the error, if there is one.
async fn refusal(shop: &Namespace<'_>, arguments: &[&str]) -> Option<String> {
    let account = format!("--as=system:serviceaccount:{NAME}:{NAME}");
    // A member of this group has every right, so only the fence can refuse.
    let dry_run = ["--dry-run=server", "--namespace", NAME, &account, "--as-group=system:masters"];
    let mut kubectl = shop.cluster.kubectl();
    cluster::run(kubectl.args(arguments).args(dry_run)).await.err().map(|error| error.to_string())
}

/// A patch of one webhook's field.
fn patch(path: &str, value: &Value) -> String {
    format!("--patch={}", json!([{"op": "add", "path": path, "value": value}]))
}

#[tokio::test]
async fn the_server_may_write_only_the_ca_and_the_path_of_its_webhooks() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "webhooks").await?;
    create_of_others(&shop).await?;
    let bundle =
        admission::configuration(shop.cluster, "validating").await?["webhooks"][0]["clientConfig"]["caBundle"].take();
    let path = json!(format!("/{}/validate", "0".repeat(64)));
    let client = "/webhooks/0/clientConfig";
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        for (field, value) in [("caBundle", &bundle), ("service/path", &path)] {
            let allowed = ["patch", kind, CONFIGURATION, "--type=json", &patch(&format!("{client}/{field}"), value)];
            let refused = refusal(&shop, &allowed).await;
            ensure!(refused.is_none(), "{kind} {field}: {refused:?}");
        }
        let rules = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]);
        for (field, value) in [
            ("/webhooks/0/failurePolicy", json!("Fail")),
            ("/webhooks/0/timeoutSeconds", json!(30)),
            ("/webhooks/0/rules", rules),
            ("/webhooks/0/matchConditions", json!([])),
            ("/webhooks/0/namespaceSelector", json!({})),
            ("/webhooks/0/clientConfig/service/name", json!("other")),
            ("/webhooks/0/clientConfig/service/namespace", json!("default")),
            ("/webhooks/0/clientConfig/service/port", json!(444)),
            ("/metadata/labels", json!({"a": "b"})),
            ("/metadata/finalizers", json!(["example.com/kept"])),
        ] {
            let denied = ["patch", kind, CONFIGURATION, "--type=json", &patch(field, &value)];
            check_refused(&shop, &denied).await?;
        }
        check_refused(&shop, &["delete", kind, CONFIGURATION]).await?;
        let first = r#"--patch=[{"op": "remove", "path": "/webhooks/0"}]"#;
        check_refused(&shop, &["patch", kind, CONFIGURATION, "--type=json", first]).await?;
    }
    let ca = patch("/webhooks/0/clientConfig/caBundle", &bundle);
    check_refused(&shop, &["patch", "validatingwebhookconfiguration", &shop.name, "--type=json", &ca]).await?;
    shop.kubectl(&["delete", "validatingwebhookconfiguration", &shop.name]).await.map(drop)
}

#[tokio::test]
async fn the_server_may_write_only_one_endpoint_slice() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let shop = Namespace::new(&cluster, "slices").await?;
    create_of_others(&shop).await?;
    let endpoints = r#"--patch={"endpoints": [{"addresses": ["10.244.9.9"]}]}"#;
    let patch = |name: &str| vec!["patch".to_owned(), "endpointslice".into(), name.into(), "--type=merge".into()];
    for (name, is_allowed) in [(ADMISSION_SERVICE, true), (&*shop.name, false)] {
        let patch = patch(name);
        let words: Vec<_> = patch.iter().map(String::as_str).chain([endpoints]).collect();
        if is_allowed {
            let refused = refusal(&shop, &words).await;
            ensure!(refused.is_none(), "{name}: {refused:?}");
        } else {
            check_refused(&shop, &words).await?;
        }
    }
    check_refused(&shop, &["delete", "endpointslice", ADMISSION_SERVICE]).await?;
    shop.kubectl(&["delete", "validatingwebhookconfiguration", &shop.name]).await?;
    let delete = ["delete", "endpointslice", &shop.name, "--namespace", NAME];
    cluster::run(shop.cluster.kubectl().args(delete)).await.map(drop)
}

/// Checks that the fence refuses a write.
async fn check_refused(shop: &Namespace<'_>, arguments: &[&str]) -> Result<()> {
    let error = refusal(shop, arguments).await.with_context(|| format!("{arguments:?} was let through"))?;
    ensure!(error.contains("denied request: replica-count-manager may"), "{arguments:?}: {error}");
    Ok(())
}

#[tokio::test]
async fn the_leader_publishes_its_address_and_the_slice_belongs_to_the_service() -> Result<()> {
    let cluster = guarded_cluster().await?;
    let cluster = &*cluster;
    let shop = Namespace::new(cluster, "published").await?;
    let slice = wait::until("an endpoint", PATIENCE, async || {
        let get = ["get", "endpointslice", ADMISSION_SERVICE, "--namespace", NAME, "--output=json"];
        let slice: Value = serde_json::from_str(&cluster::run(shop.cluster.kubectl().args(get)).await?)?;
        ensure!(slice["endpoints"].as_array().is_some_and(|endpoints| endpoints.len() == 1), "{slice}");
        Ok(slice)
    })
    .await?;
    let owner = &slice["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("Service"), &json!(ADMISSION_SERVICE)), "{slice}");
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], ADMISSION_SERVICE, "{slice}");
    assert_eq!(slice["ports"][0]["name"], "admission", "{slice}");
    let get = ["get", "pods", "--namespace", NAME, "--selector=app.kubernetes.io/component=server", "--output=json"];
    let pods: Value = serde_json::from_str(&cluster::run(cluster.kubectl().args(get)).await?)?;
    assert_eq!(slice["endpoints"][0]["addresses"][0], pods["items"][0]["status"]["podIP"], "{slice}");
    Ok(())
}
