//! Admission policies that change what the server writes: the server says what was stored, and tries again.

use anyhow::{Result, ensure};
use cluster::{run, wait};
use serde_json::{Value, json};

use support::{
    Namespace, PATIENCE, TestCluster, condition, manifests::Workload, metric, namespace::ExpectedEvent, shared_cluster,
};

/// Whether the API server has MutatingAdmissionPolicies. Kubernetes 1.30 has none.
pub(crate) async fn has_mutating_policies(cluster: &TestCluster) -> Result<bool> {
    let served = run(cluster.kubectl().args(["get", "--raw=/apis/admissionregistration.k8s.io/v1"])).await?;
    let has = served.contains("mutatingadmissionpolicies");
    if !has {
        println!("no policy changes counts: this Kubernetes has no MutatingAdmissionPolicies");
    }
    Ok(has)
}

/// A policy of one namespace that raises every count below 2 to 2.
struct Policy<'a> {
    shop: &'a Namespace<'static>,
    /// The kind of the manifest that shows whether the policy is in force.
    probe: String,
}

impl<'a> Policy<'a> {
    async fn start(shop: &'a Namespace<'static>, group: &str, resources: Value, probe: String) -> Result<Self> {
        let name = &shop.name;
        let mutation = "[JSONPatch{op: \"replace\", path: \"/spec/replicas\", value: 2}]";
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources,
                }]},
                "matchConditions": [{"name": "few", "expression": "has(object.spec.replicas) && object.spec.replicas < 2"}],
                "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "matchResources": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            }},
        });
        for object in [policy, binding] {
            shop.kubectl_with(&["create", "--filename=-"], &object.to_string()).await?;
        }
        let policy = Self { shop, probe };
        policy.wait_until_in_force(true).await?;
        Ok(policy)
    }

    async fn end(self) -> Result<()> {
        for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
            run(self.shop.cluster.kubectl().args(["delete", kind, &self.shop.name])).await?;
        }
        self.wait_until_in_force(false).await
    }

    async fn wait_until_in_force(&self, expected: bool) -> Result<()> {
        wait::until("the policy", PATIENCE, async || {
            let create = ["create", "--dry-run=server", "--output=jsonpath={.spec.replicas}", "--filename=-"];
            let replicas = self.shop.kubectl_with(&create, &self.probe).await?;
            ensure!((replicas == "2") == expected, "the probe has {replicas}");
            Ok(())
        })
        .await
    }
}

async fn corrections_changed(shop: &Namespace<'_>) -> Result<u64> {
    metric(&shop.cluster.http("/metrics").await?.1, "corrections_changed_total")
}

#[tokio::test]
async fn a_correction_that_a_policy_changes_is_said_and_tried_again() -> Result<()> {
    if !has_mutating_policies(shared_cluster().await?).await? {
        return Ok(());
    }
    let shop = Namespace::shared("changed").await?;
    let probe = Workload::deployment("probe").replicas(1).manifest();
    let policy = Policy::start(&shop, "apps", json!(["deployments", "deployments/scale"]), probe).await?;
    shop.deployment("web", 3).await?;
    let before = corrections_changed(&shop).await?;
    shop.set("web", 1).await?;
    let is_changed = |count: &Value| condition(count, "Ready") == Some(("False", "CountChangedByAdmission"));
    let count = shop.wait_for_replica_count("deployment.web", "the changed count", is_changed).await?;
    let message = count["status"]["conditions"][0]["message"].to_string();
    ensure!(message.contains("admission stored 2 replicas instead of 1"), "{message}");
    ensure!(count["status"]["drifts"] == 0, "our own write is no drift: {count}");
    ensure!(corrections_changed(&shop).await? > before);
    let (namespace, note) = (&*shop.name, "admission stored 2 replicas instead of 1");
    let event = ExpectedEvent { namespace, kind: "Deployment", reason: "CountChangedByAdmission", note };
    event.wait(shop.cluster).await?;

    shop.kubectl(&["scale", "deployment/web", "--replicas=5"]).await?;
    let is_drifted =
        |count: &Value| count["status"]["drifts"] == 1 && is_changed(count) && count["status"]["observed"] == 2;
    let count = shop.wait_for_replica_count("deployment.web", "the drift", is_drifted).await?;
    ensure!(count.pointer("/status/lastDrift/correctedAt").is_none(), "it was not put back: {count}");
    let events = shop.kubectl(&["get", "events.events.k8s.io", "--output=jsonpath={.items[*].reason}"]).await?;
    ensure!(!events.contains("ReplicasPutBack"), "{events}");

    policy.end().await?;
    shop.kubectl(&["annotate", "deployment/web", "changed=yes"]).await?;
    let count = shop.wait_for_drifts("deployment.web", 1).await?;
    ensure!(count["observed"] == 1, "{count}");
    let is_ready = |count: &Value| condition(count, "Ready").is_some_and(|(status, _)| status == "True");
    shop.wait_for_replica_count("deployment.web", "Ready", is_ready).await.map(drop)
}

#[tokio::test]
async fn a_set_says_what_a_policy_made_of_it() -> Result<()> {
    if !has_mutating_policies(shared_cluster().await?).await? {
        return Ok(());
    }
    let shop = Namespace::shared("changed-set").await?;
    shop.deployment("web", 3).await?;
    let probe = support::manifests::ReplicaCountManifest::deployment("probe").replicas(1).manifest();
    let policy = Policy::start(&shop, "replica-count-manager.io", json!(["replicacounts"]), probe).await?;
    let target = json!({"namespace": shop.name, "name": "web"});
    let request = json!({"target": target, "replicas": 1});
    let answer = shop.cluster.grpcurl("replicas.v1.ReplicasService/SetReplicaCount", &request).await?;
    ensure!(answer["replicaCount"]["desired"] == 2, "{answer}");
    let warning = answer["warnings"][0].to_string();
    ensure!(warning.contains("admission stored 2 replicas instead of 1"), "{answer}");
    policy.end().await
}
