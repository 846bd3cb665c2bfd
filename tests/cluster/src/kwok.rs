//! Configures kwok, which simulates nodes, and the pods that our kubelet does not run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster_files::{ClusterFiles, flag};

/// Marks the pods that our kubelet runs as processes. kwok leaves them alone. The value does not matter.
pub(crate) const RUN_ANNOTATION: &str = "replica-count-manager.io/run";

/// Makes kwok simulate a node.
pub(crate) const NODE_ANNOTATION: &str = "kwok.x-k8s.io/node";

const STAGES: [&str; 5] = [
    "node-initialize.yaml",
    "node-heartbeat-with-lease.yaml",
    "pod-ready.yaml",
    "pod-complete.yaml",
    "pod-delete.yaml",
];

const DEFINITIONS: [&str; 1] = ["kwok.x-k8s.io_portforwards.yaml"];

pub(crate) fn arguments(files: &ClusterFiles) -> Vec<String> {
    vec![
        flag("kubeconfig", &files.kubeconfig("admin")),
        flag("config", &configuration_file(files)),
        format!("--manage-nodes-with-annotation-selector={NODE_ANNOTATION}=fake"),
        // The default listens on every interface.
        format!("--server-address=127.0.0.1:{}", files.kwok),
        "--node-ip=127.0.0.1".into(),
        format!("--node-port={}", files.kwok),
        "--node-lease-duration-seconds=40".into(),
        flag("tls-cert-file", &files.pki("kubelet.crt")),
        flag("tls-private-key-file", &files.pki("kubelet.key")),
    ]
}

/// Writes kwok's configuration and stages into one file, as documents of JSON, which is YAML.
pub(crate) fn save_configuration(files: &ClusterFiles, kwok_files: &Path) -> Result<()> {
    let mut documents = vec![configuration()];
    for stage in STAGES {
        documents.push(without_run_pods(read(&kwok_files.join(stage))?));
    }
    let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
    fs::write(configuration_file(files), documents.join("\n---\n"))?;
    Ok(())
}

/// The CRDs of the resources that tell kwok where the ports of a pod are.
pub(crate) fn definitions(kwok_files: &Path) -> Result<Vec<Value>> {
    DEFINITIONS.iter().map(|name| read(&kwok_files.join(name))).collect()
}

fn configuration_file(files: &ClusterFiles) -> std::path::PathBuf {
    files.folder.join("kwok.yaml")
}

fn configuration() -> Value {
    json!({
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "metadata": {"name": "kwok"},
        "options": {
            // By default pods get the node's loopback address, which the API server refuses in EndpointSlices.
            "cidr": "10.243.0.0/16",
            "enableCRDs": ["PortForward"],
            // Port-forwarding is among the debugging handlers.
            "enableDebuggingHandlers": true,
            // With a configuration file these have no defaults, and kwok ends without them.
            "nodeLeaseParallelism": 4,
            "nodePlayStageParallelism": 4,
            "podPlayStageParallelism": 16,
        },
    })
}

/// Excludes the pods that our kubelet runs from a stage.
fn without_run_pods(mut stage: Value) -> Value {
    if stage["spec"]["resourceRef"]["kind"] == "Pod"
        && let Some(expressions) = stage["spec"]["selector"]["matchExpressions"].as_array_mut()
    {
        let key = format!(".metadata.annotations[\"{RUN_ANNOTATION}\"]");
        expressions.push(json!({"key": key, "operator": "DoesNotExist"}));
    }
    stage
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("failed to parse {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(kind: &str) -> Value {
        json!({"spec": {"resourceRef": {"kind": kind}, "selector": {"matchExpressions": []}}})
    }

    #[test]
    fn only_stages_of_pods_leave_out_what_the_kubelet_runs() {
        let node = without_run_pods(stage("Node"));
        assert_eq!(node, stage("Node"));
        let pod = without_run_pods(stage("Pod"));
        let expression = &pod["spec"]["selector"]["matchExpressions"][0];
        assert_eq!(expression["key"], ".metadata.annotations[\"replica-count-manager.io/run\"]");
        assert_eq!(expression["operator"], "DoesNotExist");
    }
}
