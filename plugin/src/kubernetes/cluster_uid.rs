//! Which cluster it is, whatever its context is named.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{cluster::Cluster, error::Error, request::send};

/// A namespace that every cluster has, and that lasts as long as the cluster.
const NAMESPACE: &str = "kube-system";

/// Reads the UID of the namespace kube-system, which is the usual identity of a cluster. Not every user may read it.
pub(crate) async fn uid(cluster: &Cluster, limit: Duration) -> Result<Option<String>, Error> {
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    let namespace = send(limit, format!("get the namespace {NAMESPACE}"), namespaces.get_metadata(NAMESPACE)).await?;
    Ok(namespace.metadata.uid)
}
