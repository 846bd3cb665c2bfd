//! Makes the API server ask a proxy for each connection into the cluster's network: to webhooks by their Services, and to
//! kubelets.
//!
//! This machine has no data plane, so the address of a Service leads nowhere. The [`Kubelet`](crate::Kubelet) is the proxy:
//! it knows the pods' processes. A cluster without a kubelet has none of these connections.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cluster_files::ClusterFiles;

/// Writes the API server's configuration, as JSON, which is YAML.
pub(crate) fn save_configuration(files: &ClusterFiles) -> Result<()> {
    let socket = files.egress().display().to_string();
    let configuration = json!({
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{
            "name": "cluster",
            "connection": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": socket}}},
        }],
    });
    let file = configuration_file(files);
    fs::write(&file, configuration.to_string()).with_context(|| format!("failed to write {}", file.display()))
}

pub(crate) fn configuration_file(files: &ClusterFiles) -> PathBuf {
    files.folder.join("egress.yaml")
}
