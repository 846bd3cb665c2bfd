//! Objects that the API server stores and that do not fit our types: a server that starts with them is ready, enforces
//! and signs.

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{
    Namespace, PATIENCE, StandaloneServer, condition, http, manifests::Workload, presented::certificate_request,
};

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

/// Schemas of a field, each odd in another way.
fn odd_schemas() -> [Value; EACH] {
    let names: Vec<_> = (0..5000).map(|number| format!("value-{number}")).collect();
    [
        (0..50).fold(json!({"type": "string"}), |inner, _| json!({"type": "object", "properties": {"x": inner}})),
        (0..50).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner})),
        json!({"type": "number", "minimum": -1e300, "maximum": 1e300}),
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "example": deep(100, json!(1))}),
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "example": [1e300, null, u64::MAX]}),
        json!({"type": "string", "enum": names}),
        json!({"type": "string", "description": "x".repeat(200_000)}),
        json!({"type": "string", "format": "date-time", "default": END}),
        json!({"type": "object", "additionalProperties": {"type": "string", "externalDocs": {"url": "x"}}}),
        json!({"type": "object", "properties": {
            "openAPIV3Schema": {"type": "string"}, "": {"type": "string"}, "status": {"type": "integer"}}}),
    ]
}

/// A CRD with a schema of the field `spec.nested`.
fn definition(group: &str, nested: &Value) -> Value {
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

/// Creates a kind in each of ten groups, and their objects: all odd ones in the last group, and one in each other. Returns
/// the groups.
async fn create_kinds(shop: &Namespace<'_>) -> Result<Vec<String>> {
    let groups: Vec<_> = names("g").into_iter().map(|prefix| format!("{prefix}.{}.example.com", shop.name)).collect();
    let definitions = groups.iter().zip(&odd_schemas()).map(|(group, schema)| definition(group, schema)).collect();
    create_odd(shop, "crd", definitions).await?;
    for group in &groups {
        shop.kubectl(&["wait", "--for=condition=Established", "--timeout=1m", &format!("crd/widgets.{group}")]).await?;
    }
    let number_of = |place: usize| if place + 1 == EACH { EACH } else { 1 };
    let widgets =
        groups.iter().enumerate().flat_map(|(place, group)| widgets(group).into_iter().take(number_of(place)));
    let widgets = json!({"apiVersion": "v1", "kind": "List", "items": widgets.collect::<Vec<_>>()});
    shop.kubectl_with(&["create", "--filename=-"], &widgets.to_string()).await?;
    Ok(groups)
}

/// Deletes the kinds, and waits until the server says so.
async fn delete_kinds(shop: &Namespace<'_>, groups: &[String]) -> Result<()> {
    let definitions: Vec<_> = groups.iter().map(|group| format!("crd/widgets.{group}")).collect();
    shop.kubectl(&[&["delete"][..], &definitions.iter().map(String::as_str).collect::<Vec<_>>()].concat()).await?;
    for group in groups {
        let is_gone = |count: &Value| condition(count, "TargetFound") == Some(("Unknown", "KindNotServed"));
        shop.wait_for_replica_count(&format!("widget.{group}.w0"), "the end of its kind", is_gone).await?;
    }
    Ok(())
}

#[ignore = "it takes two minutes: make stress"]
#[tokio::test]
async fn a_server_that_starts_with_odd_objects_is_ready_enforces_and_signs() -> Result<()> {
    let shop = Namespace::shared("odd").await?;
    let groups = create_kinds(&shop).await?;
    let group = groups.last().context("no group")?;
    let requests = names(&format!("{}-r", shop.name));
    for name in &names("d") {
        shop.deployment(name, 1).await?;
    }
    let counts = names("d").iter().map(|name| replica_count("apps", "Deployment", name)).collect();
    let widget_counts = names("w").iter().map(|name| replica_count(group, "Widget", name)).collect();
    let group_counts = groups[..EACH - 1].iter().map(|group| replica_count(group, "Widget", "w0")).collect();
    let csrs = requests.iter().map(|name| certificate_request(name, "replica-count-manager.io/client", "client auth"));
    create_odd(&shop, "replicacount", counts).await?;
    create_odd(&shop, "replicacount", widget_counts).await?;
    create_odd(&shop, "replicacount", group_counts).await?;
    create_odd(&shop, "hpa", names("h").iter().map(|name| autoscaler(name)).collect()).await?;
    create_odd(&shop, "csr", csrs.collect::<Result<_>>()?).await?;

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
    for (number, other) in groups.iter().enumerate() {
        let objects =
            [format!("deployment/d{number}"), format!("widgets.{group}/w{number}"), format!("widgets.{other}/w0")];
        for object in objects {
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
    ownership_is_given_back(&shop).await?;
    let (_, metrics) = http(&server.http, "/metrics").await?;
    let failures = metrics.lines().filter(|line| line.starts_with("replica_count_manager_watch_failures_total{"));
    for line in failures {
        ensure!(line.ends_with(" 0"), "{line}\n{}", server.log()?);
    }
    delete_kinds(&shop, &groups).await?;
    shop.kubectl(&[&["delete", "csr"][..], &requests.iter().map(String::as_str).collect::<Vec<_>>()].concat()).await?;
    Ok(())
}

/// An applier with an odd time gets the ownership of its count back.
async fn ownership_is_given_back(shop: &Namespace<'_>) -> Result<()> {
    let apply = ["apply", "--server-side", "--field-manager=helm", "--filename=-"];
    shop.kubectl_with(&apply, &Workload::deployment("applied").replicas(3).manifest()).await?;
    // The API server ignores a change of nothing but times.
    let odd = json!([
        {"op": "replace", "path": "/metadata/managedFields/0/time", "value": END},
        {"op": "add", "path": "/metadata/annotations", "value": {"odd": "time"}},
    ])
    .to_string();
    shop.kubectl(&["patch", "deployment/applied", "--type=json", "--patch", &odd]).await?;
    let count = replica_count("apps", "Deployment", "applied");
    shop.kubectl_with(&["create", "--filename=-"], &count.to_string()).await?;
    let is_seen = |count: &Value| count.pointer("/status/appliers") == Some(&json!(["helm"]));
    shop.wait_for_replica_count("deployment.applied", "its applier", is_seen).await?;
    shop.kubectl(&["scale", "deployment/applied", "--replicas=7"]).await?;
    wait::until("the ownership with its applier", PATIENCE, async || {
        let deployment = shop.get("deployment/applied").await?;
        let entries = deployment["metadata"]["managedFields"].as_array().context("no entries")?;
        let owners: Vec<_> =
            entries.iter().filter(|one| one.pointer("/fieldsV1/f:spec/f:replicas").is_some()).collect();
        ensure!(deployment["spec"]["replicas"] == 3, "{deployment}");
        ensure!(owners.len() == 1 && owners[0]["manager"] == "helm" && owners[0]["time"] == END, "{owners:?}");
        Ok(())
    })
    .await
}
