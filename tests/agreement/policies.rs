//! Admission that changes or refuses the counts of some targets.

use anyhow::{Result, ensure};
use cluster::wait;
use serde_json::{Value, json};

use super::target::{LEAST, REFUSED};
use crate::admission_changes::has_mutating_policies;
use support::{Namespace, PATIENCE, manifests::Workload};

/// The objects of one policy: it, and its binding to the namespace.
fn policy(shop: &Namespace<'_>, kind: &str, name: &str, condition: &str, spec: Value, binding: Value) -> [Value; 2] {
    let api_version = "admissionregistration.k8s.io/v1";
    let rule = json!({
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments", "deployments/scale"],
    });
    let mut spec = spec;
    spec["matchConstraints"] = json!({"resourceRules": [rule]});
    spec["matchConditions"] = json!([{"name": "count", "expression": condition}]);
    let mut bound = binding;
    bound["policyName"] = name.into();
    let labels = json!({"kubernetes.io/metadata.name": shop.name});
    bound["matchResources"] = json!({"namespaceSelector": {"matchLabels": labels}});
    let object = |kind: &str, spec: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    [object(kind, spec), object(&format!("{kind}Binding"), bound)]
}

/// Creates both policies, and waits until they are in force. Returns whether there is one that raises counts.
pub(super) async fn create(shop: &Namespace<'_>) -> Result<bool> {
    let raises = has_mutating_policies(shop.cluster).await?;
    let named = |prefix: &str| format!("object.metadata.name.startsWith('{prefix}') && has(object.spec.replicas)");
    let replace = format!("[JSONPatch{{op: \"replace\", path: \"/spec/replicas\", value: {LEAST}}}]");
    let raise = json!({
        "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": replace}}],
    });
    let few = format!("{} && object.spec.replicas < {LEAST}", named("raised-"));
    let refuse = json!({"validations": [{"expression": "false", "message": "that count is refused"}]});
    let count = format!("{} && object.spec.replicas == {REFUSED}", named("refused-"));
    let deny = json!({"validationActions": ["Deny"]});
    let raise = raises.then(|| policy(shop, "MutatingAdmissionPolicy", "raise", &few, raise, json!({})));
    let refuse = policy(shop, "ValidatingAdmissionPolicy", "refuse", &count, refuse, deny);
    for object in raise.iter().flatten().chain(&refuse) {
        shop.kubectl_with(&["create", "--filename=-"], &object.to_string()).await?;
    }
    wait::until("both policies in force", PATIENCE, async || {
        let create = ["create", "--dry-run=server", "--output=jsonpath={.spec.replicas}", "--filename=-"];
        let probe = Workload::deployment("raised-probe").replicas(1).manifest();
        let raised = shop.kubectl_with(&create, &probe).await?;
        ensure!(!raises || raised == LEAST.to_string(), "the probe has {raised}");
        let probe = Workload::deployment("refused-probe").replicas(REFUSED).manifest();
        ensure!(shop.kubectl_with(&create, &probe).await.is_err(), "the probe is not refused");
        Ok(raises)
    })
    .await
}
