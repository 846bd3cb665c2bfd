//! Kinds that do not exist, that cannot be listed, and that stand beside API servers that do not answer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Options, wait};
use serde_json::{Value, json};

use super::broken_api_server::new_cluster;
use support::{CERTIFICATE_FILES, Namespace, PATIENCE, TestCluster, condition, http, server_flags};

/// The longest time until a condition shows that the watch of a kind fails: 20 s of failures, a review of the watches
/// every 2 s, and the time of a test machine.
const REPORTED: Duration = Duration::from_secs(30);

/// The name of a ReplicaCount of the Widget `w`.
fn count_name(group: &str) -> String {
    format!("widget.{group}.w")
}

/// A ReplicaCount of an object `w`.
fn replica_count(kind: &str, group: &str) -> Value {
    json!({"apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
           "metadata": {"name": format!("{}.{group}.w", kind.to_lowercase())},
           "spec": {"scaleTargetRef": {"apiVersion": format!("{group}/v1"), "kind": kind, "name": "w"}, "replicas": 3}})
}

/// The CRD of Widgets that are stored as v1. `versions` are the served ones; with a conversion webhook that does not
/// exist if `is_convertible` is false.
fn definition(group: &str, versions: &[&str], is_convertible: bool) -> Value {
    let count = json!({"type": "integer"});
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"replicas": count}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let version = |name: &str| {
        json!({"name": name, "served": versions.contains(&name), "storage": name == "v1",
               "schema": {"openAPIV3Schema": schema},
               "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                                                        "statusReplicasPath": ".status.replicas"}}})
    };
    let service = json!({"namespace": "default", "name": "gone", "path": "/convert"});
    let conversion = match is_convertible {
        true => json!({"strategy": "None", "webhook": null}),
        false => json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
                                                           "clientConfig": {"service": service}}}),
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": format!("widgets.{group}")},
           "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                    "conversion": conversion, "versions": [version("v1"), version("v2")]}})
}

/// The server's rights to Widgets.
fn role(group: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
           "metadata": {"name": group, "labels": {"replica-count-manager.io/aggregate-to-server": "true"}},
           "rules": [{"apiGroups": [group], "resources": ["widgets", "widgets/scale"],
                      "verbs": ["get", "list", "watch", "patch"]}]})
}

async fn create(shop: &Namespace<'_>, objects: &[Value]) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    shop.kubectl_with(&["create", "--filename=-"], &list.to_string()).await.map(drop)
}

/// Creates a Widget as soon as the API server takes one.
async fn create_widget(shop: &Namespace<'_>, group: &str, replicas: i32) -> Result<()> {
    let widget = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "w"},
                        "spec": {"replicas": replicas}});
    wait::until("the Widget", PATIENCE, async || create(shop, std::slice::from_ref(&widget)).await).await
}

async fn replace_definition(shop: &Namespace<'_>, definition: Value) -> Result<()> {
    let name = format!("customresourcedefinition/{}", definition["metadata"]["name"].as_str().context("no name")?);
    let patch = format!("--patch={}", json!({"spec": definition["spec"]}));
    shop.kubectl(&["patch", &name, "--type=merge", &patch]).await.map(drop)
}

async fn wait_for_target_found(shop: &Namespace<'_>, name: &str, is: (&str, &str), within: Duration) -> Result<Value> {
    let object = format!("replicacount/{name}");
    wait::until(&format!("TargetFound {is:?}"), within, async || {
        let count = shop.get(&object).await?;
        ensure!(condition(&count, "TargetFound") == Some(is), "it is {count}");
        Ok(count)
    })
    .await
}

async fn wait_for_widget(shop: &Namespace<'_>, group: &str, replicas: i64) -> Result<()> {
    shop.wait_for_replicas(&format!("widgets.v1.{group}/w"), replicas).await
}

async fn delete_definition(shop: &Namespace<'_>, group: &str) -> Result<()> {
    let definition = format!("customresourcedefinition/widgets.{group}");
    shop.kubectl(&["delete", &definition, &format!("clusterrole/{group}"), "--wait=false"]).await.map(drop)
}

/// The number of requests with a verb that a server has made, with one code or with all.
async fn requests(address: &str, verb: &str, code: &str) -> Result<u64> {
    let metrics = http(address, "/metrics").await?.1;
    let prefix = format!("replica_count_manager_apiserver_requests_total{{verb=\"{verb}\",code=\"{code}");
    let lines = metrics.lines().filter(|line| line.starts_with(&prefix));
    lines.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<u64>()?)).sum()
}

#[ignore = "it takes a minute and a half: make stress"]
#[tokio::test]
async fn many_missing_kinds_share_one_question_until_they_are_installed_or_forgotten() -> Result<()> {
    // Beside another server, each would have to read the statuses that the other one writes.
    let cluster = new_cluster().await?;
    let shop = Namespace::new(&cluster, "missing").await?;
    let group = format!("{}.example.com", shop.name);
    let kinds: Vec<_> = (0..500).map(|index| format!("Missing{index}")).chain(["Widget".to_owned()]).collect();
    create(&shop, &kinds.iter().map(|kind| replica_count(kind, &group)).collect::<Vec<_>>()).await?;
    let server = shop.cluster.standalone(server_flags(&shop, shop.cluster.certificates(), CERTIFICATE_FILES))?;
    server.wait_until_listening().await?;
    for kind in ["missing0", "missing499"] {
        let name = format!("{kind}.{group}.w");
        wait_for_target_found(&shop, &name, ("Unknown", "KindNotServed"), PATIENCE).await?;
    }

    let shared = requests(&server.http, "get", "304").await?;
    let all = requests(&server.http, "get", "").await?;
    wait::until("two more questions", PATIENCE, async || {
        let now = requests(&server.http, "get", "304").await?;
        ensure!(now >= shared + 2, "it is {now} after {shared}");
        Ok(())
    })
    .await?;
    let more = requests(&server.http, "get", "").await? - all;
    println!("{more} requests in two rounds of discovery");
    ensure!(more < 60, "{more} requests in two rounds of discovery for 501 missing kinds");

    create(&shop, &[definition(&group, &["v1"], true), role(&group)]).await?;
    wait_for_target_found(&shop, &count_name(&group), ("False", "NotFound"), PATIENCE).await?;
    create_widget(&shop, &group, 1).await?;
    wait_for_widget(&shop, &group, 3).await?;
    shop.kubectl(&["delete", "replicacounts", "--all", "--wait=false"]).await?;
    wait::until("no metric of the kind", PATIENCE, async || {
        let metrics = http(&server.http, "/metrics").await?.1;
        ensure!(metrics.contains("watch=\"Deployment.apps\""), "no metrics of watches");
        ensure!(!metrics.contains(&format!("watch=\"Widget.{group}\"")), "there still are some");
        Ok(())
    })
    .await?;
    delete_definition(&shop, &group).await
}

#[tokio::test]
async fn a_preferred_version_that_does_not_list_is_passed_over() -> Result<()> {
    let shop = Namespace::shared("passed-over").await?;
    let group = format!("{}.example.com", shop.name);
    create(&shop, &[definition(&group, &["v1"], true), role(&group)]).await?;
    create_widget(&shop, &group, 2).await?;
    replace_definition(&shop, definition(&group, &["v1", "v2"], false)).await?;
    wait::until("the broken version", PATIENCE, async || {
        let listed = shop.kubectl(&["get", &format!("widgets.v2.{group}")]).await;
        ensure!(listed.is_err_and(|error| error.to_string().contains("conversion webhook")), "it lists");
        Ok(())
    })
    .await?;
    create(&shop, &[replica_count("Widget", &group)]).await?;
    wait_for_widget(&shop, &group, 3).await?;
    wait_for_target_found(&shop, &count_name(&group), ("True", "Found"), PATIENCE).await?;
    delete_definition(&shop, &group).await
}

#[tokio::test]
async fn a_kind_whose_watch_fails_says_so_until_it_works_again() -> Result<()> {
    let shop = Namespace::shared("failing").await?;
    let group = format!("{}.example.com", shop.name);
    create(&shop, &[definition(&group, &["v1"], true), role(&group), replica_count("Widget", &group)]).await?;
    create_widget(&shop, &group, 2).await?;
    wait_for_widget(&shop, &group, 3).await?;

    replace_definition(&shop, definition(&group, &["v2"], false)).await?;
    let count = wait_for_target_found(&shop, &count_name(&group), ("Unknown", "WatchFailing"), PATIENCE).await?;
    ensure!(count.to_string().contains("conversion webhook"), "the cause is missing: {count}");
    ensure!(condition(&count, "Ready") == Some(("False", "WatchFailing")), "{count}");
    let metrics = shop.cluster.http("/metrics").await?.1;
    let series = format!("replica_count_manager_watch_failing_seconds{{watch=\"Widget.{group}\"}} ");
    let failing = metrics.lines().find_map(|line| line.strip_prefix(&series)).context("no metric")?;
    ensure!(failing.parse::<f64>()? > 10.0, "{failing}");

    replace_definition(&shop, definition(&group, &["v1", "v2"], true)).await?;
    shop.kubectl(&["scale", &format!("widgets.v1.{group}/w"), "--replicas=9"]).await?;
    wait_for_target_found(&shop, &count_name(&group), ("True", "Found"), REPORTED).await?;
    wait_for_widget(&shop, &group, 3).await?;
    delete_definition(&shop, &group).await
}

#[tokio::test]
async fn api_servers_that_do_not_answer_affect_only_their_own_kinds() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "aggregated").await?;
    let group = "aggregated.example.com";
    let service = |group: &str, version: &str| {
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
               "metadata": {"name": format!("{version}.{group}")},
               "spec": {"group": group, "version": version, "groupPriorityMinimum": 2000, "versionPriority": 100,
                        "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "gone"}}})
    };
    let dead = [service("dead.example.com", "v1"), service(group, "v3")];
    create(&shop, &[&dead[..], &[definition(group, &["v1"], true), role(group)]].concat()).await?;
    create_widget(&shop, group, 2).await?;
    let counts = [("Widget", group), ("Gadget", group), ("Widget", "dead.example.com"), ("Widget", "no.example.com")];
    create(&shop, &counts.map(|(kind, group)| replica_count(kind, group))).await?;
    wait_for_widget(&shop, group, 3).await?;
    for (name, reason) in [
        (format!("gadget.{group}.w"), "KindUnknown"),
        (count_name("dead.example.com"), "KindUnknown"),
        (count_name("no.example.com"), "KindNotServed"),
    ] {
        wait_for_target_found(&shop, &name, ("Unknown", reason), PATIENCE).await?;
    }
    shop.kubectl(&["scale", &format!("widgets.v1.{group}/w"), "--replicas=9"]).await?;
    wait_for_widget(&shop, group, 3).await
}
