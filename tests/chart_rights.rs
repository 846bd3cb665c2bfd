//! The rights of the server, and the fence around the rights that exceed its needs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use support::{
    Namespace, PATIENCE,
    chart::{objects, of_kind, one, server_role},
    release, shared_cluster,
};

#[tokio::test]
async fn a_release_for_one_namespace_needs_no_cluster_wide_rights() -> Result<()> {
    let values = json!({"namespace": "shop", "crds": {"enabled": false}, "targets": [{"apiGroup": "argoproj.io", "resource": "rollouts"}]});
    let objects = objects(&values).await?;
    for object in &objects {
        ensure!(object["metadata"]["namespace"].is_string(), "{object}");
    }
    for kind in ["Role", "RoleBinding"] {
        assert_eq!(one(&objects, kind)?["metadata"]["namespace"], "shop");
    }
    let rules = &server_role(&objects)?["rules"];
    assert!(rules.to_string().contains("rollouts/scale"), "{rules}");
    assert!(!rules.to_string().contains("customresourcedefinitions"), "{rules}");
    Ok(())
}

/// Values of the chart, and what the rendered objects contain.
struct Row {
    values: Value,
    /// Whether there is a fence.
    fence: bool,
    /// Whether the server may patch targets.
    patch: bool,
}

#[tokio::test]
async fn the_server_may_patch_targets_only_with_the_fence() -> Result<()> {
    for Row { mut values, fence, patch } in [
        Row { values: json!({}), fence: true, patch: true },
        Row { values: json!({"ownership": "keep"}), fence: false, patch: false },
        // The fence is needed because the server may create Secrets.
        Row { values: json!({"ownership": "keep", "certificates": {"mode": "managed"}}), fence: true, patch: false },
        Row { values: json!({"namespace": "shop"}), fence: false, patch: false },
        Row { values: json!({"namespace": "shop", "fence": {"enabled": true}}), fence: true, patch: true },
        Row { values: json!({"fence": {"enabled": false}}), fence: false, patch: false },
        Row { values: json!({"ownership": "keep", "fence": {"enabled": true}}), fence: true, patch: false },
        // The fence is needed because the server may change the configurations of its webhooks.
        Row { values: json!({"ownership": "keep", "admission": webhooks("record")}), fence: true, patch: false },
        // The server tests by a dry run whether targets are guarded.
        Row { values: json!({"ownership": "keep", "admission": webhooks("guard")}), fence: true, patch: true },
    ] {
        values["targets"] = json!([{"apiGroup": "argoproj.io", "resource": "rollouts"}]);
        let objects = objects(&values).await?;
        assert_eq!(of_kind(&objects, "ValidatingAdmissionPolicy").count(), usize::from(fence), "{values}");
        assert_eq!(of_kind(&objects, "ValidatingAdmissionPolicyBinding").count(), usize::from(fence), "{values}");
        let patched = patched(server_role(&objects)?);
        for resource in ["deployments", "statefulsets", "replicasets", "rollouts"] {
            assert_eq!(patched.contains(resource), patch, "{resource} with {values}");
            assert!(patched.contains(&format!("{resource}/scale")), "{resource} with {values}");
        }
    }
    Ok(())
}

/// The value `admission` for a mode and an existing Secret.
fn webhooks(mode: &str) -> Value {
    json!({"mode": mode, "caBundle": "-----BEGIN CERTIFICATE-----"})
}

/// The resources that a role may patch.
fn patched(role: &Value) -> BTreeSet<String> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let rules = list(&role["rules"]).into_iter().filter(|rule| list(&rule["verbs"]).contains(&"patch".into()));
    rules.flat_map(|rule| list(&rule["resources"])).filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn the_server_has_only_the_rights_that_it_needs() -> Result<()> {
    let cluster = shared_cluster().await?;
    for right in [
        "patch deployments.apps --subresource=scale",
        "patch statefulsets.apps --subresource=scale",
        "patch replicasets.apps --subresource=scale",
        "watch deployments.apps",
        // The fence restricts this right.
        "patch deployments.apps",
        "watch horizontalpodautoscalers.autoscaling",
        "get customresourcedefinitions.apiextensions.k8s.io",
        "delete replicacounts.replica-count-manager.io",
        "patch replicacounts.replica-count-manager.io --subresource=status",
        "create events.events.k8s.io",
        "create subjectaccessreviews.authorization.k8s.io",
    ] {
        assert!(cluster.is_server_allowed(right).await?, "{right}");
    }
    for right in [
        "update deployments.apps",
        "create deployments.apps",
        "delete deployments.apps",
        "patch horizontalpodautoscalers.autoscaling",
        "list customresourcedefinitions.apiextensions.k8s.io",
        "get secrets",
        "list pods",
        "create pods --subresource=exec",
        "escalate clusterroles.rbac.authorization.k8s.io",
        "create tokenreviews.authentication.k8s.io",
    ] {
        assert!(!cluster.is_server_allowed(right).await?, "{right}");
    }
    Ok(())
}

#[tokio::test]
async fn an_aggregated_cluster_role_grants_rights_to_a_kind() -> Result<()> {
    let shop = Namespace::shared("brought").await?;
    let brought = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: brought, labels: {replica-count-manager.io/aggregate-to-server: 'true'}}
rules: [{apiGroups: [''], resources: [replicationcontrollers/scale], verbs: [patch]}]
";
    shop.kubectl_with(&["create", "--filename=-"], brought).await?;
    wait::until("the server's right", PATIENCE, async || {
        as_server(&shop, &["auth", "can-i", "patch", "replicationcontrollers", "--subresource=scale"]).await
    })
    .await?;
    let role = shop.get(&format!("clusterrole/{0}-{0}-targets", release::NAME)).await?;
    let helm = &role["metadata"]["managedFields"][entry(&role, "helm")?]["fieldsV1"];
    assert!(
        helm["f:aggregationRule"].is_object() && helm["f:rules"].is_null(),
        "the next upgrade would conflict: {helm}"
    );
    Ok(())
}

/// A kind with arbitrary fields, which the fence cannot list.
const ODD: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: odds.fence.example.com}
spec:
  group: fence.example.com
  scope: Namespaced
  names: {kind: Odd, plural: odds, singular: odd}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
      subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
";

/// Two targets with fields that a fence easily misses: finalizers, and arbitrary fields beside the spec.
const TARGETS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, finalizers: [example.com/kept]}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: example}]}}
---
apiVersion: fence.example.com/v1
kind: Odd
metadata: {name: odd, labels: {a: b}}
data: {numbers: [1, 2.5, null, {deep: {er: true}}], a/b.c: x}
spec: {size: 2, other: 1}
";

/// Creates the targets with the field manager `helm`, and grants the server's account all rights in the namespace.
async fn fenced() -> Result<Namespace<'static>> {
    let shop = Namespace::shared("fence").await?;
    shop.kubectl_with(&["apply", "--server-side", "--filename=-"], ODD).await?;
    shop.kubectl(&["wait", "--for=condition=Established", "customresourcedefinition/odds.fence.example.com"]).await?;
    wait::until("the targets", PATIENCE, async || {
        shop.kubectl_with(&["apply", "--server-side", "--field-manager=helm", "--filename=-"], TARGETS).await
    })
    .await?;
    let account = format!("--serviceaccount={0}:{0}", release::NAME);
    shop.kubectl(&["create", "rolebinding", "all", "--clusterrole=cluster-admin", &account]).await?;
    Ok(shop)
}

/// Runs kubectl in the namespace as the server's account.
async fn as_server(shop: &Namespace<'_>, arguments: &[&str]) -> Result<String> {
    let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
    shop.kubectl(&[arguments, &[&account]].concat()).await
}

#[tokio::test]
async fn the_fence_denies_all_other_changes() -> Result<()> {
    let shop = fenced().await?;
    let owner = r#"[{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]"#;
    let metadata = |field: &str, value: &str| format!("--patch={{\"metadata\": {{\"{field}\": {value}}}}}");
    let (finalizers, owners) = (metadata("finalizers", r#"["example.com/other"]"#), metadata("ownerReferences", owner));
    let mut attempts = vec![
        vec!["set", "image", "deployment/web", "main=other"],
        vec!["patch", "deployment/web", "--type=merge", r#"--patch={"spec": {"paused": true}}"#],
        vec![
            "patch",
            "deployment/web",
            "--subresource=status",
            "--type=merge",
            r#"--patch={"status": {"replicas": 9}}"#,
        ],
        vec!["patch", "odd/odd", "--type=merge", r#"--patch={"data": {"numbers": [1, 2.5]}}"#],
        vec!["patch", "odd/odd", "--type=merge", r#"--patch={"new": 1}"#],
        vec!["patch", "odd/odd", "--type=json", r#"--patch=[{"op": "remove", "path": "/spec"}]"#],
        vec!["create", "configmap", "new"],
        vec!["delete", "configmap", "kube-root-ca.crt"],
        vec!["run", "new", "--image=example"],
    ];
    for target in ["deployment/web", "odd/odd"] {
        attempts.push(vec!["label", target, "x=y"]);
        attempts.push(vec!["annotate", target, "x=y"]);
        attempts.push(vec!["patch", target, "--type=merge", &finalizers]);
        attempts.push(vec!["patch", target, "--type=merge", &owners]);
        attempts.push(vec!["patch", target, "--type=merge", r#"--patch={"spec": {"replicas": 9, "size": 9}}"#]);
        attempts.push(vec!["delete", target, "--wait=false"]);
    }
    for attempt in attempts {
        let error = as_server(&shop, &attempt).await.err().with_context(|| format!("{attempt:?} was let through"))?;
        assert!(error.to_string().contains("denied request: replica-count-manager may change"), "{attempt:?}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn the_fence_allows_corrections_and_giving_ownership_back() -> Result<()> {
    let shop = fenced().await?;
    for (target, count) in [("deployment/web", "f:replicas"), ("odd/odd", "f:size")] {
        let correction = ["--type=merge", r#"--patch={"spec": {"replicas": 3}}"#, "--field-manager=corrector"];
        as_server(&shop, &[&["patch", target, "--subresource=scale"], &correction[..]].concat()).await?;
        let helm = entry(&shop.get(target).await?, "helm")?;
        let ours = entry(&shop.get(target).await?, "corrector")?;
        let patch = json!([
            {"op": "add", "path": format!("/metadata/managedFields/{helm}/fieldsV1/f:spec/{count}"), "value": {}},
            {"op": "remove", "path": format!("/metadata/managedFields/{ours}")},
        ]);
        as_server(&shop, &["patch", target, "--type=json", &format!("--patch={patch}")]).await?;
        let given = shop.get(target).await?;
        let helm = entry(&given, "helm")?;
        assert!(given["metadata"]["managedFields"][helm]["fieldsV1"]["f:spec"][count].is_object(), "{given}");
        assert!(entry(&given, "corrector").is_err(), "{given}");
    }
    Ok(())
}

#[tokio::test]
async fn the_fence_denies_changes_of_who_owns_other_fields() -> Result<()> {
    let shop = fenced().await?;
    for (target, field) in [("deployment/web", "/f:spec/f:selector"), ("odd/odd", "/f:data")] {
        // The API server ignores the removal of the only entry.
        shop.kubectl(&["label", target, "a=c", "--overwrite", "--field-manager=another"]).await?;
        let object = shop.get(target).await?;
        let helm = entry(&object, "helm")?;
        let path = format!("/metadata/managedFields/{helm}");
        let mut thief = object["metadata"]["managedFields"][helm].clone();
        thief["manager"] = "thief".into();
        let thefts = [
            json!([{"op": "remove", "path": format!("{path}/fieldsV1{field}")}]),
            json!([{"op": "add", "path": "/metadata/managedFields/-", "value": thief}]),
            json!([{"op": "replace", "path": format!("{path}/manager"), "value": "thief"}]),
            json!([{"op": "remove", "path": path}]),
        ];
        for theft in thefts {
            let attempt = ["patch", target, "--type=json", &format!("--patch={theft}")];
            let error = as_server(&shop, &attempt).await.err().with_context(|| format!("{theft} was let through"))?;
            assert!(error.to_string().contains("denied request: replica-count-manager may change"), "{theft}: {error}");
        }
    }
    Ok(())
}

/// The index of a field manager's entry in an object's managedFields.
fn entry(object: &Value, manager: &str) -> Result<usize> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.map(|entry| &entry["manager"]).position(|name| name == manager).with_context(|| format!("no {manager}"))
}
