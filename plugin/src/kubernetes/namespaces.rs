//! The namespaces of the cluster, for completion in a shell.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::ListParams};

use super::{cluster::Cluster, error::Error, request::send};
use crate::args::KubeArgs;

/// The most namespaces that are read: one page.
const MAX_NAMESPACES: u32 = 1000;

/// Reads the names of the namespaces, without a question or a message.
pub(crate) async fn namespaces(args: &KubeArgs, limit: Duration) -> Result<Vec<String>, Error> {
    let namespaces: Api<Namespace> = Api::all(Cluster::load(args)?.silent(limit).client().await?);
    let page = ListParams::default().limit(MAX_NAMESPACES);
    let found = send(limit, "list namespaces", namespaces.list_metadata(&page)).await?;
    Ok(found.iter().map(ResourceExt::name_any).collect())
}
