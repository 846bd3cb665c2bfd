//! Every kind with `/scale`: custom resources of any shape, while their CRDs are created, changed and deleted.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use support::{Namespace, condition, manifests::Workload};

/// A custom resource of one test, in its own API group.
pub(crate) struct Kind<'a> {
    shop: &'a Namespace<'a>,
    group: String,
}

/// The variable parts of the kind's CRD.
pub(crate) struct Definition {
    /// The version that is served.
    pub(crate) version: &'static str,
    /// The field of the spec with the count.
    pub(crate) field: &'static str,
    /// The path of the observed count in the status.
    pub(crate) status: &'static str,
    /// Whether the status has `readyReplicas`.
    pub(crate) has_ready: bool,
    /// Whether the kind can be scaled.
    pub(crate) is_scalable: bool,
}

impl Definition {
    /// A kind whose count is at `.spec.replicas`.
    pub(crate) const fn of(version: &'static str) -> Self {
        Self { version, field: "replicas", status: ".status.replicas", has_ready: false, is_scalable: true }
    }
}

impl<'a> Kind<'a> {
    pub(crate) fn new(shop: &'a Namespace<'a>) -> Self {
        Self { shop, group: format!("{}.example.com", shop.name) }
    }

    /// Creates or changes the CRD.
    pub(crate) async fn define(&self, definition: Definition) -> Result<()> {
        let Definition { version, field, status, has_ready, is_scalable } = definition;
        let count = json!({"type": "integer"});
        let ready = if has_ready { json!({"readyReplicas": count}) } else { json!({}) };
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {field: count, "paused": {"type": "boolean"}}},
            "status": {"type": "object", "properties": ready, "x-kubernetes-preserve-unknown-fields": true},
        }});
        let mut subresources = json!({"status": {}});
        if is_scalable {
            let scale = json!({"specReplicasPath": format!(".spec.{field}"), "statusReplicasPath": status});
            subresources["scale"] = scale;
        }
        let served = |name: &str, served: bool| {
            json!({"name": name, "served": served, "storage": name == "v1", "schema": {"openAPIV3Schema": schema},
                   "subresources": subresources})
        };
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{}", self.group)},
            "spec": {
                "group": self.group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                "versions": [served("v1alpha1", version == "v1alpha1"), served("v1", version == "v1")],
            },
        });
        self.shop.kubectl_with(&["apply", "--server-side", "--filename=-"], &definition.to_string()).await?;
        let name = format!("customresourcedefinition/widgets.{}", self.group);
        self.shop.kubectl(&["wait", "--for=condition=Established", "--timeout=1m", &name]).await.map(drop)
    }

    /// Grants the server its rights to the kind, as the installer of a kind can.
    pub(crate) async fn grant(&self) -> Result<()> {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": self.group, "labels": {"replica-count-manager.io/aggregate-to-server": "true"}},
            "rules": [
                {"apiGroups": [self.group], "resources": ["widgets"], "verbs": ["get", "list", "watch", "patch"]},
                {"apiGroups": [self.group], "resources": ["widgets/scale"], "verbs": ["patch"]},
            ],
        });
        self.shop.kubectl_with(&["create", "--filename=-"], &role.to_string()).await.map(drop)
    }

    /// Applies the Widget `w` by server-side apply, as a GitOps tool does.
    pub(crate) async fn apply(&self, version: &str, spec: Value) -> Result<()> {
        let widget = json!({"apiVersion": format!("{}/{version}", self.group), "kind": "Widget",
                            "metadata": {"name": "w", "labels": {"app": "w"}}, "spec": spec});
        let apply = ["apply", "--server-side", "--field-manager=gitops", "--filename=-"];
        // The API server's discovery shows a new kind only after a moment.
        cluster::wait::until("the Widget", support::PATIENCE, async || {
            self.shop.kubectl_with(&apply, &widget.to_string()).await
        })
        .await
        .map(drop)
    }

    pub(crate) fn object(&self) -> String {
        format!("widgets.{}/w", self.group)
    }

    /// The name of the Widget's ReplicaCount.
    pub(crate) fn count_name(&self) -> String {
        format!("widget.{}.w", self.group)
    }

    /// Creates the ReplicaCount directly, because the server would refuse a Set of an unknown kind.
    pub(crate) async fn hold(&self, replicas: i32) -> Result<()> {
        let target = json!({"apiVersion": format!("{}/v1", self.group), "kind": "Widget", "name": "w"});
        let count = json!({"apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
                           "metadata": {"name": self.count_name()},
                           "spec": {"scaleTargetRef": target, "replicas": replicas}});
        self.shop.kubectl_with(&["create", "--filename=-"], &count.to_string()).await.map(drop)
    }

    /// Waits until the condition TargetFound has this status and reason.
    async fn wait_for_target_found(&self, status: &str, reason: &str) -> Result<Value> {
        let is = |count: &Value| condition(count, "TargetFound") == Some((status, reason));
        self.shop.wait_for_replica_count(&self.count_name(), &format!("TargetFound {status} {reason}"), is).await
    }

    /// Waits until the Widget's field has this count.
    pub(crate) async fn wait_for_replicas(&self, field: &str, replicas: i64) -> Result<()> {
        cluster::wait::until(&format!("{field} at {replicas}"), support::PATIENCE, async || {
            let widget = self.shop.get(&self.object()).await?;
            anyhow::ensure!(widget["spec"][field] == replicas, "{}", widget["spec"]);
            Ok(())
        })
        .await
    }

    /// Deletes the objects that are not in the namespace.
    pub(crate) async fn end(&self) -> Result<()> {
        self.shop.kubectl(&["delete", "clusterrole", &self.group]).await?;
        let name = format!("customresourcedefinition/widgets.{}", self.group);
        self.shop.kubectl(&["delete", &name, "--timeout=1m"]).await.map(drop)
    }
}

#[tokio::test]
async fn the_server_holds_a_kind_like_argo_rollouts_and_gives_ownership_back() -> Result<()> {
    let shop = Namespace::shared("rollouts").await?;
    let kind = Kind::new(&shop);
    kind.define(Definition { has_ready: true, ..Definition::of("v1") }).await?;
    kind.grant().await?;
    kind.apply("v1", json!({"replicas": 2})).await?;
    let target = json!({"namespace": shop.name, "group": kind.group, "kind": "Widget", "name": "w"});
    let request = json!({"target": target, "replicas": 3});
    cluster::wait::until("the Set", support::PATIENCE, async || {
        Ok(shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await?)
    })
    .await?;
    kind.wait_for_replicas("replicas", 3).await?;
    let ready = |count: &Value| count["status"]["ready"] == 0 && count["status"]["appliers"] == json!(["gitops"]);
    let count = shop.wait_for_replica_count(&kind.count_name(), "what the kind tells", ready).await?;
    assert_eq!(condition(&count, "Ready"), Some(("False", "ReplicasNotReady")), "{count}");
    for drifts in 1..=2 {
        shop.kubectl(&["scale", &kind.object(), "--replicas=7"]).await?;
        let status = shop.wait_for_drifts(&kind.count_name(), drifts).await?;
        assert_eq!(status["lastDrift"]["manager"], "kubectl", "{status}");
    }
    kind.apply("v1", json!({"replicas": 4})).await?;
    let status = shop.wait_for_drifts(&kind.count_name(), 3).await?;
    assert_eq!(status["lastDrift"]["manager"], "gitops", "{status}");
    kind.end().await
}

#[tokio::test]
async fn the_server_holds_a_count_at_another_path_that_is_absent_at_first() -> Result<()> {
    let shop = Namespace::shared("sizes").await?;
    let kind = Kind::new(&shop);
    kind.define(Definition { field: "size", status: ".status.members", ..Definition::of("v1") }).await?;
    kind.grant().await?;
    kind.apply("v1", json!({})).await?;
    kind.hold(3).await?;
    kind.wait_for_replicas("size", 3).await?;
    kind.wait_for_target_found("True", "Found").await?;
    let no_members = |count: &Value| condition(count, "Ready") == Some(("False", "ReplicasNotReady"));
    shop.wait_for_replica_count(&kind.count_name(), "no members yet", no_members).await?;
    shop.kubectl(&["patch", &kind.object(), "--type=merge", "--patch={\"spec\":{\"size\":9}}"]).await?;
    let status = shop.wait_for_drifts(&kind.count_name(), 1).await?;
    assert_eq!(status["lastDrift"]["manager"], "kubectl-patch", "{status}");
    let members = "--patch={\"status\":{\"members\":3}}";
    shop.kubectl(&["patch", &kind.object(), "--type=merge", "--subresource=status", members]).await?;
    shop.wait_for_replica_count(&kind.count_name(), "its members", |count| count["status"]["ready"] == 3).await?;
    let fewer = "--patch={\"spec\":{\"replicas\":2}}";
    shop.kubectl(&["patch", &format!("replicacount/{}", kind.count_name()), "--type=merge", fewer]).await?;
    let scales_down = |count: &Value| condition(count, "Ready") == Some(("True", "ScalingDown"));
    shop.wait_for_replica_count(&kind.count_name(), "more members than desired", scales_down).await?;
    let members = "--patch={\"status\":{\"members\":2}}";
    shop.kubectl(&["patch", &kind.object(), "--type=merge", "--subresource=status", members]).await?;
    let is_in_place = |count: &Value| condition(count, "Ready") == Some(("True", "InPlace"));
    shop.wait_for_replica_count(&kind.count_name(), "the end of the surplus", is_in_place).await?;
    kind.end().await
}

#[tokio::test]
async fn a_kind_can_be_defined_deleted_defined_again_and_change_its_version() -> Result<()> {
    let shop = Namespace::shared("comings").await?;
    let kind = Kind::new(&shop);
    kind.hold(3).await?;
    kind.wait_for_target_found("Unknown", "KindNotServed").await?;
    kind.define(Definition::of("v1alpha1")).await?;
    // Without the rights, only this target's status reports it, and the server stays ready.
    let count = kind.wait_for_target_found("Unknown", "Forbidden").await?;
    assert!(count.to_string().contains("cannot watch resource"), "{count}");
    assert_eq!(shop.cluster.http("/readyz").await?.0, 200);
    kind.grant().await?;
    kind.wait_for_target_found("False", "NotFound").await?;
    kind.apply("v1alpha1", json!({"replicas": 1})).await?;
    kind.wait_for_replicas("replicas", 3).await?;

    let name = format!("customresourcedefinition/widgets.{}", kind.group);
    shop.kubectl(&["delete", &name, "--timeout=1m"]).await?;
    kind.wait_for_target_found("Unknown", "KindNotServed").await?;
    kind.define(Definition::of("v1alpha1")).await?;
    kind.apply("v1alpha1", json!({"replicas": 1})).await?;
    kind.wait_for_replicas("replicas", 3).await?;

    kind.define(Definition::of("v1")).await?;
    kind.apply("v1", json!({"replicas": 8})).await?;
    kind.wait_for_replicas("replicas", 3).await?;
    kind.end().await
}

#[tokio::test]
#[ignore = "it takes a minute and a half: make stress"]
async fn a_kind_that_loses_its_scale_subresource_says_so_until_it_has_one_again() -> Result<()> {
    let shop = Namespace::shared("unscalable").await?;
    let kind = Kind::new(&shop);
    kind.define(Definition::of("v1")).await?;
    kind.grant().await?;
    kind.apply("v1", json!({"replicas": 1})).await?;
    kind.hold(3).await?;
    kind.wait_for_replicas("replicas", 3).await?;
    kind.define(Definition { is_scalable: false, ..Definition::of("v1") }).await?;
    // The watch goes on, and the definition is read again once a minute.
    let says_so = |count: &Value| condition(count, "TargetFound") == Some(("Unknown", "KindNotScalable"));
    cluster::wait::until("KindNotScalable", 2 * support::PATIENCE, async || {
        let count = shop.get(&format!("replicacount/{}", kind.count_name())).await?;
        anyhow::ensure!(says_so(&count), "it is {count}");
        Ok(())
    })
    .await?;
    kind.define(Definition::of("v1")).await?;
    kind.wait_for_target_found("True", "Found").await?;
    shop.kubectl(&["scale", &kind.object(), "--replicas=7"]).await?;
    kind.wait_for_replicas("replicas", 3).await?;
    kind.end().await
}

#[tokio::test]
async fn the_server_holds_a_replica_set_unless_a_deployment_controls_it() -> Result<()> {
    let shop = Namespace::shared("replica-sets").await?;
    shop.create(&Workload::replica_set("alone").replicas(1)).await?;
    shop.deployment("web", 1).await?;
    let set = async |name: &str| {
        let target = json!({"namespace": shop.name, "kind": "ReplicaSet", "name": name});
        let request = json!({"target": target, "replicas": 2});
        shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await
    };
    set("alone").await?;
    shop.wait_for_replicas("replicaset/alone", 2).await?;
    shop.kubectl(&["scale", "replicaset/alone", "--replicas=5"]).await?;
    assert_eq!(shop.wait_for_drifts("replicaset.alone", 1).await?["lastDrift"]["manager"], "kubectl");

    let owned = cluster::wait::until("the Deployment's ReplicaSet", support::PATIENCE, async || {
        let list = shop.kubectl(&["get", "replicasets", "--selector=app=web", "--output=name"]).await?;
        Ok(list.trim().strip_prefix("replicaset.apps/").context("there is none")?.to_owned())
    })
    .await?;
    let refusal = set(&owned).await.err().context("should be refused")?;
    assert_eq!(refusal.code, "FailedPrecondition", "{refusal}");
    assert!(refusal.message.starts_with("Deployment web controls the count of"), "{refusal}");

    // The server leaves such a ReplicaSet out of its memory until somebody names it.
    let count = json!({"apiVersion": "replica-count-manager.io/v1", "kind": "ReplicaCount",
                       "metadata": {"name": format!("replicaset.{owned}")},
                       "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owned},
                                "replicas": 5}});
    shop.kubectl_with(&["create", "--filename=-"], &count.to_string()).await?;
    let is_controlled = |count: &Value| condition(count, "Ready") == Some(("False", "Controlled"));
    shop.wait_for_replica_count(&format!("replicaset.{owned}"), "its controller", is_controlled).await?;
    assert_eq!(shop.replicas(&format!("replicaset/{owned}")).await?, 1);
    Ok(())
}

#[tokio::test]
async fn the_server_keeps_working_after_a_namespace_is_deleted() -> Result<()> {
    let (gone, shop) = (Namespace::shared("deleted").await?, Namespace::shared("left").await?);
    for namespace in [&gone, &shop] {
        namespace.deployment("web", 1).await?;
        namespace.set("web", 3).await?;
        namespace.wait_for_replicas("deployment/web", 3).await?;
    }
    gone.kubectl(&["delete", "namespace", &gone.name, "--timeout=1m"]).await?;
    let refusal = gone.set("web", 4).await.err().context("should be refused")?;
    assert!(refusal.to_string().contains("does not exist"), "{refusal}");
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await.map(drop)
}
