//! Objects that the API server stores and that do not fit our types: a server that starts with them is ready, enforces
//! and signs.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{Namespace, PATIENCE, StandaloneServer, http, presented::certificate_request};

/// How many objects of each kind.
const EACH: usize = 10;

/// A time that Kubernetes stores and our types cannot hold.
const END: &str = "9999-12-31T00:00:00Z";

/// Nests a value.
fn deep(levels: usize, value: Value) -> Value {
    (0..levels).fold(value, |inner, _| json!({"x": inner}))
}

/// Changes the metadata of an object, in another way for each number.
fn make_odd(metadata: &mut Value, number: usize) -> Result<()> {
    let fields = metadata.as_object_mut().context("no metadata")?.entry("managedFields").or_insert_with(
        || json!([{"manager": "odd", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}]),
    );
    fields[0]["time"] = match number % 5 {
        0 => END,
        1 => "9999-12-31T23:59:59Z",
        2 => "9999-12-30T22:30:00Z",
        3 => "9999-12-31T12:00:00Z",
        _ => "9999-12-31T00:00:00-12:00",
    }
    .into();
    if number >= EACH / 2 {
        let annotations = metadata.as_object_mut().context("no metadata")?.entry("annotations").or_insert(json!({}));
        annotations["huge"] = "x".repeat(100_000 + number).into();
    }
    Ok(())
}

/// Creates objects, and changes their metadata afterwards: the API server sets all of it when it creates them.
async fn create_odd(shop: &Namespace<'_>, resource: &str, objects: Vec<Value>) -> Result<()> {
    let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let expected = objects.len();
    let names: Vec<_> = objects.iter().map(|object| format!("{resource}/{}", name(object))).collect();
    shop.kubectl_with(&["create", "--filename=-"], &list(objects)).await?;
    let get = ["get", "--output=json", "--show-managed-fields"].into_iter();
    let get: Vec<_> = get.chain(names.iter().map(String::as_str)).collect();
    // Controllers write to these objects too, so a replacement can meet a conflict.
    wait::until(&format!("odd {resource}"), PATIENCE, async || {
        let mut stored: Value = serde_json::from_str(&shop.kubectl(&get).await?)?;
        if stored["kind"] != "List" {
            // One object alone is no list.
            stored = json!({"apiVersion": "v1", "kind": "List", "items": [stored]});
        }
        let items = stored["items"].as_array_mut().context("no list")?;
        for (number, item) in items.iter_mut().enumerate() {
            make_odd(&mut item["metadata"], number)?;
        }
        shop.kubectl_with(&["replace", "--filename=-"], &stored.to_string()).await
    })
    .await?;
    let odd = shop.kubectl(&get).await?.matches(r#""time": "9999-12-3"#).count();
    // The API server keeps no managedFields of CertificateSigningRequests.
    ensure!(odd >= expected || resource == "csr", "only {odd} {resource} have odd times");
    Ok(())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn names(prefix: &str) -> Vec<String> {
    (0..EACH).map(|number| format!("{prefix}{number}")).collect()
}

fn replica_count(group: &str, kind: &str, target: &str) -> Value {
    let prefix = if group == "apps" { kind.to_lowercase() } else { format!("{}.{group}", kind.to_lowercase()) };
    let target_ref = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "name": target});
    json!({"apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
           "metadata": {"name": format!("{prefix}.{target}")},
           "spec": {"scaleTargetRef": target_ref, "replicas": 3}})
}

fn autoscaler(name: &str) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
           "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    "minReplicas": 5, "maxReplicas": 9}})
}

/// A CRD whose schema is deeper than a JSON reader's usual limit.
fn definition(group: &str) -> Value {
    let leaf = json!({"type": "string"});
    let nested = (0..50).fold(leaf, |inner, _| json!({"type": "object", "properties": {"x": inner}}));
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "replicas": {"type": "integer"}, "nested": nested}});
    let schema = json!({"type": "object", "properties": {
        "spec": open, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": format!("widgets.{group}")},
           "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                        "subresources": {"scale": {"specReplicasPath": ".spec.replicas",
                                                   "statusReplicasPath": ".status.replicas"}}}]}})
}

/// Custom resources with deep and huge values, and with fields of other types.
fn widgets(group: &str) -> Vec<Value> {
    let odd = [
        deep(200, json!(1)),
        deep(500, json!(1)),
        json!((0..200).fold(json!(1), |inner, _| json!([inner]))),
        json!(1e300),
        json!(u64::MAX),
        json!("x".repeat(500_000)),
        json!({"replicas": "3"}),
        json!(vec![1; 20_000]),
        json!({"metadata": {"managedFields": 1}}),
        json!({"": {"": -1e300}}),
    ];
    let widget = |(number, odd): (usize, Value)| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": format!("w{number}")},
               "spec": {"replicas": 1, "odd": odd}})
    };
    odd.into_iter().enumerate().map(widget).collect()
}

/// Starts a server that manages a namespace and signs.
async fn start(shop: &Namespace<'_>) -> Result<StandaloneServer> {
    let [namespace, pod_namespace] = ["namespace", "pod-namespace"].map(|flag| format!("--{flag}={}", shop.name));
    let signer = ["--certificates=managed", "--ca-secret=ca", "--sign-clients=true", "--approve-clients=true"];
    let server = shop.cluster.standalone([&*namespace, &*pod_namespace].into_iter().chain(signer))?;
    wait::until("a ready server", PATIENCE, async || {
        let (status, body) = http(&server.http, "/readyz").await?;
        ensure!(status == 200, "{body}: {}", server.log()?);
        Ok(())
    })
    .await?;
    Ok(server)
}

#[ignore = "it takes two minutes: make stress"]
#[tokio::test]
async fn a_server_that_starts_with_odd_objects_is_ready_enforces_and_signs() -> Result<()> {
    let shop = Namespace::shared("odd").await?;
    let group = format!("{}.example.com", shop.name);
    create_odd(&shop, "crd", vec![definition(&group)]).await?;
    shop.kubectl(&["wait", "--for=condition=Established", "--timeout=1m", &format!("crd/widgets.{group}")]).await?;
    let requests = names(&format!("{}-r", shop.name));
    for name in &names("d") {
        shop.deployment(name, 1).await?;
    }
    let counts = names("d").iter().map(|name| replica_count("apps", "Deployment", name)).collect();
    let widget_counts = names("w").iter().map(|name| replica_count(&group, "Widget", name)).collect();
    let csrs = requests.iter().map(|name| certificate_request(name, "replica-count-manager.io/client", "client auth"));
    create_odd(&shop, "replicacount", counts).await?;
    create_odd(&shop, "replicacount", widget_counts).await?;
    create_odd(&shop, "hpa", names("h").iter().map(|name| autoscaler(name)).collect()).await?;
    create_odd(&shop, "csr", csrs.collect::<Result<_>>()?).await?;
    let widgets = json!({"apiVersion": "v1", "kind": "List", "items": widgets(&group)});
    shop.kubectl_with(&["create", "--filename=-"], &widgets.to_string()).await?;

    let server = start(&shop).await?;
    for name in &requests {
        let csr = format!("csr/{name}");
        wait::until(&format!("the certificate of {name}"), PATIENCE, async || {
            let request = shop.get(&csr).await?;
            ensure!(request.pointer("/status/certificate").is_some(), "{request}");
            Ok(())
        })
        .await?;
    }
    for number in 0..EACH {
        for object in [format!("deployment/d{number}"), format!("widgets.{group}/w{number}")] {
            // Some of the objects are too deep for this test to read.
            wait::until(&format!("the count of {object}"), PATIENCE, async || {
                let replicas = shop.kubectl(&["get", &object, "--output=jsonpath={.spec.replicas}"]).await?;
                ensure!(replicas.trim() == "3", "it is {replicas}");
                Ok(())
            })
            .await?;
        }
    }
    shop.kubectl(&["scale", "deployment/d9", "--replicas=7"]).await?;
    shop.wait_for_replicas("deployment/d9", 3).await?;
    let (_, metrics) = http(&server.http, "/metrics").await?;
    let failures = metrics.lines().filter(|line| line.starts_with("replica_count_manager_watch_failures_total{"));
    for line in failures {
        ensure!(line.ends_with(" 0"), "{line}\n{}", server.log()?);
    }
    shop.kubectl(&[&["delete", "csr"][..], &requests.iter().map(String::as_str).collect::<Vec<_>>()].concat()).await?;
    Ok(())
}
